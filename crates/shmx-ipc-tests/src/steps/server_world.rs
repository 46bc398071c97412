//! A server is the victim; its readers live.

use crate::chaos::look::Eye;
use crate::steps::acts::{BEFORE, OTHER, SUCCESSORS, TYPE, config, publish, whole};
use crate::steps::world::{
    Beside, Kept, Outcome, Way, World, helper, laps, nothing_left, remains_are_whole, take_all, take_to_the_end,
};
use anyhow::{Context, Result, bail, ensure};
use shmx::error::{CreateError, OpenError, ReadError, RemoveError};
use shmx::{Client, Hold, Removed, ServerState, Start};
use std::time::Duration;

const BESIDES: &[Beside] = &[
    Beside::AttachAndDetach,
    Beside::ReadNewest,
    Beside::ReadInOrder,
    Beside::Lease,
    Beside::Send,
    Beside::SleepForAFrame,
    Beside::Inspect,
];
/// Rivals give a living server a tenth of a second, so they come where they matter.
const RIVALS: &[Beside] = &[
    Beside::AttachAndDetach,
    Beside::ReadNewest,
    Beside::ReadInOrder,
    Beside::Lease,
    Beside::Inspect,
    Beside::Create,
    Beside::Remove,
];

/// What others can do while the victim stands still.
pub(crate) fn besides(operation: &str) -> &'static [Beside] {
    if leaves(operation) || operation == "publish" { RIVALS } else { BESIDES }
}

/// Whether the operation takes the server's name away from it or lets it go.
fn leaves(operation: &str) -> bool {
    matches!(operation, "end" | "come-back")
}

pub(crate) struct ServerWorld {
    operation: &'static str,
    name: String,
    reader: Option<Client>,
    eye: Option<Eye>,
    kept: Option<Kept>,
    /// Who came while the victim stood still.
    rival: Option<shmx::Server>,
}

impl ServerWorld {
    pub(crate) fn new(operation: &'static str, name: &str) -> Self {
        Self { operation, name: name.to_owned(), reader: None, eye: None, kept: None, rival: None }
    }

    fn reader(&mut self) -> Result<&mut Client> {
        self.reader.as_mut().context("no reader")
    }

    fn leases_a_frame(&self) -> bool {
        self.operation == "publish-around-a-lease"
    }

    /// What must hold whatever the victim is doing.
    fn look(&mut self) -> Result<()> {
        if let Some(kept) = &self.kept {
            kept.check()?;
        }
        remains_are_whole(self.eye.as_ref().context("no eye")?)
    }

    fn leaves(&self) -> bool {
        leaves(self.operation)
    }

    fn opened(&self) -> Result<Option<Client>> {
        match Client::open(&self.name) {
            Ok(client) => Ok(Some(client)),
            Err(OpenError::ServerGone { .. } | OpenError::Os(shmx::error::os::OpenError::NotFound { .. }))
                if self.leaves() =>
            {
                Ok(None)
            }
            Err(e) => Err(e.into()),
        }
    }
}

impl World for ServerWorld {
    fn ready(&mut self) -> Result<()> {
        let options = Client::options();
        let options = match self.operation {
            "publish-when-taken" => options.every_frame(true).start(Start::Oldest),
            "publish-around-a-lease" => options.hold(Hold::Lease).copy_up_to(0).start(Start::Oldest),
            _ => options.start(Start::Oldest),
        };
        let mut reader = options.spin(Duration::ZERO).open(&self.name)?;
        if self.leases_a_frame() {
            // The oldest: its slot is the next in turn.
            self.kept = Some(Kept::new(reader.try_next()?.context("no frame")?.keep())?);
        }
        ensure!(take_all(&mut reader)? == BEFORE, "not every frame was there");
        match self.operation {
            "publish-and-wake" | "publish-and-always-wake" | "end" => {
                ensure!(reader.wait(Duration::from_millis(1))?.is_none(), "a frame from nowhere");
            }
            // Somebody follows, so that the pieces are announced.
            "publish-in-pieces" => ensure!(reader.follow(Duration::ZERO)?.is_none(), "a frame from nowhere"),
            "poll" => reader.control_send(TYPE, OTHER)?,
            "reap" => helper("hold", &self.name)?.kill()?,
            "come-back" => std::fs::remove_file(format!("/dev/shm/{}", self.name))?,
            _ => {}
        }
        self.reader = Some(reader);
        if self.operation != "come-back" {
            self.eye = Some(Eye::open(&self.name)?);
        }
        Ok(())
    }

    fn beside(&mut self, beside: Beside, then: &mut dyn FnMut() -> Result<()>) -> Result<()> {
        match beside {
            Beside::AttachAndDetach => {
                if let Some(mut client) = self.opened()?
                    && let Some(frame) = client.latest()?
                {
                    whole(&frame)?;
                }
            }
            Beside::ReadNewest => {
                if let Some(frame) = self.reader()?.latest()? {
                    whole(&frame)?;
                }
            }
            Beside::ReadInOrder => match take_all(self.reader()?) {
                Err(e) if matches!(e.downcast_ref(), Some(ReadError::ServerGone { .. })) && self.leaves() => {}
                other => drop(other?),
            },
            Beside::Lease => {
                // The oldest: its slot is the next in turn.
                let options = Client::options().copy_up_to(0).hold(Hold::Lease).start(Start::Oldest);
                let Ok(mut client) = options.open(&self.name) else { return then() };
                let Ok(Some(frame)) = client.try_next() else { return then() };
                let kept = Kept::new(frame.keep())?;
                then()?;
                return kept.check();
            }
            Beside::Send => self.reader()?.control_send(TYPE, OTHER)?,
            Beside::SleepForAFrame => {
                if let Some(frame) = self.reader()?.wait(Duration::from_millis(1))? {
                    whole(&frame)?;
                }
            }
            Beside::Inspect => {}
            Beside::Create => match config(&self.name).create() {
                Ok(server) if self.leaves() => self.rival = Some(server),
                Ok(_) => bail!("a living server was displaced"),
                Err(CreateError::HeldByLiveServer { .. }) => {}
                Err(e) => return Err(e.into()),
            },
            Beside::Remove => match shmx::remove(&self.name, false) {
                Err(RemoveError::HeldByLiveServer { .. }) => {}
                Ok(Removed::Dead | Removed::Nothing) if self.leaves() => {}
                Err(RemoveError::Open(_)) if self.leaves() => {}
                Ok(removed) => bail!("a living server's name was removed: {removed:?}"),
                Err(e) => return Err(e.into()),
            },
            other => bail!("nobody here can {other}"),
        }
        if self.eye.is_some() {
            self.look()?;
        }
        then()
    }

    fn dead(mut self: Box<Self>, way: Way) -> Result<bool> {
        let closing = self.leaves();
        let reader = self.reader.as_mut().context("no reader")?;
        let (delivered, newest) = (reader.stats().delivered, take_to_the_end(reader)?);
        let stats = reader.stats();
        ensure!(stats.missed == 0, "{} frames were missed", stats.missed);
        ensure!(stats.delivered - delivered <= 1 && newest <= BEFORE + 1, "frame {newest} after {BEFORE}");
        if let Some(kept) = &self.kept {
            kept.check()?;
        }
        if let Some(eye) = &self.eye {
            remains_are_whole(eye)?;
            let state = eye.inspector().server_state();
            ensure!(state == ServerState::Died || closing && state == ServerState::Closed, "the server is {state:?}");
        }
        if self.rival.is_none() {
            match Client::open(&self.name) {
                Err(OpenError::ServerGone { .. }) => {}
                Err(OpenError::Os(shmx::error::os::OpenError::NotFound { .. })) if closing => {}
                Ok(_) => bail!("a dead server's region was opened"),
                Err(e) => return Err(e.into()),
            }
            if way == Way::Other {
                match shmx::remove(&self.name, false) {
                    Ok(Removed::Dead) => nothing_left(&self.name)?,
                    Ok(removed) => bail!("{removed:?} instead of what a dead server left"),
                    Err(RemoveError::Open(shmx::error::os::OpenError::NotFound { .. })) if closing => {}
                    Err(e) => return Err(e.into()),
                }
            }
        }
        let mut server = match self.rival.take() {
            Some(server) => server,
            None => config(&self.name).create().context("the next server")?,
        };
        let reader = self.reader.as_mut().context("no reader")?;
        let before = reader.session_id();
        reader.reopen().context("the reader goes over to the next server")?;
        ensure!(reader.session_id() != before, "the reader stays with the dead server");
        let mut number = 0;
        let every = self.operation == "publish-when-taken";
        if every {
            publish(&mut server, SUCCESSORS, 0)?;
            take_all(reader)?;
            number = 1;
        }
        laps(&mut server, SUCCESSORS, &mut number, reader, 0)?;
        if let Some(kept) = &self.kept {
            kept.check()?;
        }
        self.reader = None;
        drop(server);
        nothing_left(&self.name)?;
        Ok(false)
    }

    fn alive(&mut self) -> Result<()> {
        if self.leaves() {
            return Ok(());
        }
        let (leases, operation) = (self.leases_a_frame(), self.operation);
        let reader = self.reader.as_mut().context("no reader")?;
        take_all(reader)?;
        let newest = reader.latest()?.context("no newest frame")?.frame_id();
        let published = u64::from(operation.starts_with("publish"));
        ensure!(newest == BEFORE + published, "frame {newest} is the newest after {BEFORE}");
        if operation == "add-streams" {
            let found = reader.directory()?;
            ensure!(found.streams.iter().any(crate::frames::is_added_stream), "the stream is not there");
        }
        if !leases {
            let eye = self.eye.as_ref().context("no eye")?;
            let reaped = operation != "reap" || eye.look()?.leases() == 0;
            ensure!(reaped, "leases of a dead reader are left");
        }
        self.look()
    }

    fn after(mut self: Box<Self>, outcome: Outcome) -> Result<()> {
        ensure!(outcome == Outcome::Done || self.rival.is_some(), "the server was refused");
        if let Some(rival) = self.rival.take() {
            ensure!(rival.name_is_current(), "the rival has lost its name");
        }
        take_to_the_end(self.reader()?)?;
        if let Some(kept) = &self.kept {
            kept.check()?;
        }
        self.reader = None;
        nothing_left(&self.name)
    }
}
