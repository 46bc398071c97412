//! Somebody wants a name, or wants it gone: of nobody, or of a dead server with a reader.

use crate::chaos::look::Eye;
use crate::steps::acts::{BEFORE, SUCCESSORS, config, whole};
use crate::steps::trace::Tracee;
use crate::steps::world::{
    Beside, Kept, Outcome, Way, World, helper, laps, nothing_left, remains_are_whole, take_to_the_end,
};
use anyhow::{Context, Result, bail, ensure};
use shmx::error::{CreateError, OpenError, RemoveError, ServerEnd};
use shmx::{Client, Hold, Inspector, Removed, Server, ServerState, Start};

/// What others can do while the victim stands still.
pub(crate) const BESIDES: &[Beside] = &[Beside::AttachAndDetach, Beside::Inspect, Beside::Create, Beside::Remove];

pub(crate) struct NameWorld {
    operation: &'static str,
    name: String,
    /// The dead server's reader, with a frame under a lease.
    old: Option<Old>,
    rival: Option<Server>,
}

struct Old {
    reader: Client,
    kept: Kept,
    eye: Eye,
}

impl NameWorld {
    pub(crate) fn new(operation: &'static str, name: &str) -> Result<Self> {
        let mut world = Self { operation, name: name.to_owned(), old: None, rival: None };
        if operation != "create" {
            let server: Tracee = helper("serve", name)?;
            let options = Client::options().hold(Hold::Lease).copy_up_to(0).start(Start::Oldest);
            let mut reader = options.open(name)?;
            let kept = Kept::new(reader.try_next()?.context("no frame")?.keep())?;
            let eye = Eye::open(name)?;
            server.kill()?;
            world.old = Some(Old { reader, kept, eye });
        }
        Ok(world)
    }

    /// The dead stay dead, whoever holds which lock.
    fn look(&self) -> Result<()> {
        if let Some(old) = &self.old {
            old.kept.check()?;
            remains_are_whole(&old.eye)?;
            ensure!(
                old.reader.server_end() == Some(ServerEnd::Died),
                "the dead server is {:?}",
                old.reader.server_end()
            );
            let state = old.eye.inspector().server_state();
            ensure!(state == ServerState::Died, "the dead server is {state:?}");
        }
        Ok(())
    }

    /// What has the name is complete, whoever made it.
    fn named(&self) -> Result<Option<ServerState>> {
        match Inspector::open(&self.name) {
            Ok(inspector) => {
                ensure!(inspector.is_whole(), "half a region has the name");
                inspector.directory()?;
                Ok(Some(inspector.server_state()))
            }
            Err(OpenError::Os(shmx::error::os::OpenError::NotFound { .. })) => Ok(None),
            Err(e) => Err(e).context("what has the name"),
        }
    }
}

impl World for NameWorld {
    fn ready(&mut self) -> Result<()> {
        self.look()
    }

    fn beside(&mut self, beside: Beside, then: &mut dyn FnMut() -> Result<()>) -> Result<()> {
        match beside {
            Beside::AttachAndDetach => match Client::open(&self.name) {
                Ok(mut client) => {
                    if let Some(frame) = client.latest()? {
                        whole(&frame)?;
                    }
                }
                Err(OpenError::ServerGone { .. }) => {}
                Err(OpenError::Os(shmx::error::os::OpenError::NotFound { .. })) => {}
                Err(e) => return Err(e.into()),
            },
            Beside::Inspect => drop(self.named()?),
            Beside::Create => match config(&self.name).create() {
                Ok(server) => self.rival = Some(server),
                Err(CreateError::HeldByLiveServer { .. } | CreateError::Contended { .. }) => {}
                Err(e) => return Err(e.into()),
            },
            Beside::Remove => match shmx::remove(&self.name, false) {
                Ok(Removed::Dead | Removed::Nothing) => {}
                Err(RemoveError::HeldByLiveServer { .. }) => {}
                Err(RemoveError::Open(shmx::error::os::OpenError::NotFound { .. })) => {}
                other => bail!("{other:?}"),
            },
            other => bail!("nobody here can {other}"),
        }
        self.look()?;
        then()
    }

    fn dead(mut self: Box<Self>, way: Way) -> Result<bool> {
        self.look()?;
        let named = self.named()?;
        match (&self.rival, named) {
            (Some(rival), Some(ServerState::Live)) => ensure!(rival.name_is_current(), "who has the name?"),
            (None, None | Some(ServerState::Died)) => {}
            (rival, state) => bail!("a rival: {}, the name: {state:?}", rival.is_some()),
        }
        if let Some(old) = &mut self.old {
            ensure!(take_to_the_end(&mut old.reader)? == BEFORE, "frames of the dead server are lost");
        }
        if way == Way::Other && self.rival.is_none() {
            match shmx::remove(&self.name, false) {
                Ok(Removed::Dead) => ensure!(named.is_some(), "removed what is not there"),
                Err(RemoveError::Open(shmx::error::os::OpenError::NotFound { .. })) if named.is_none() => {}
                other => bail!("{other:?} with the name {named:?}"),
            }
            nothing_left(&self.name)?;
        }
        let mut server = match self.rival.take() {
            Some(server) => server,
            None => config(&self.name).create().context("the next server")?,
        };
        let mut reader = match &mut self.old {
            Some(old) => {
                old.reader.reopen().context("the reader goes over to the next server")?;
                None
            }
            None => Some(Client::open(&self.name)?),
        };
        let reader = match (&mut reader, &mut self.old) {
            (Some(reader), _) => reader,
            (None, Some(old)) => &mut old.reader,
            (None, None) => bail!("no reader"),
        };
        laps(&mut server, SUCCESSORS, &mut 0, reader, 0)?;
        if let Some(old) = &self.old {
            old.kept.check()?;
        }
        drop(server);
        nothing_left(&self.name)?;
        Ok(false)
    }

    fn alive(&mut self) -> Result<()> {
        self.look()
    }

    fn after(mut self: Box<Self>, outcome: Outcome) -> Result<()> {
        self.look()?;
        let Some(rival) = self.rival.take() else {
            ensure!(outcome == Outcome::Done, "refused by nobody");
            return nothing_left(&self.name);
        };
        // Whoever came first has it: the victim was refused, or has removed what was dead only.
        let done = if self.operation == "remove" { Outcome::Done } else { Outcome::Refused };
        ensure!(outcome == done, "two servers had the name");
        ensure!(rival.name_is_current(), "the name was taken away from a living server");
        drop(rival);
        nothing_left(&self.name)
    }
}
