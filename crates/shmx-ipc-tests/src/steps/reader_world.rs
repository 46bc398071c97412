//! A reader is the victim; its server and another reader live.

use crate::chaos::look::Eye;
use crate::frames;
use crate::steps::acts::{
    ADDED, BEFORE, EARLIER, MAX_LEN, MESSAGE, OTHER, PLAIN, SLOTS, TYPE, config, fill, publish, whole,
};
use crate::steps::trace::Tracee;
use crate::steps::world::{
    Beside, FOR_EVER, Kept, Outcome, Way, World, helper, laps, nothing_left, readers_are, readers_become, take_all,
};
use anyhow::{Context, Result, bail, ensure};
use shmx::error::{BeginError, OpenError};
use shmx::{Client, Hold, Server};
use std::time::Duration;

/// What others can do while the victim stands still.
pub(crate) const BESIDES: &[Beside] = &[
    Beside::Publish,
    Beside::Lap,
    Beside::HalfAFrame,
    Beside::LapAndHalf,
    Beside::WhenTaken,
    Beside::Reap,
    Beside::Poll,
    Beside::SleepForMessages,
    Beside::AddStream,
    Beside::AttachAndDetach,
    Beside::ReadNewest,
    Beside::Lease,
    Beside::Send,
];

pub(crate) struct ReaderWorld {
    operation: &'static str,
    name: String,
    /// The server that the victim has read from before, where it is to go over to another.
    before: Option<Tracee>,
    server: Option<Server>,
    bystander: Option<Client>,
    eye: Option<Eye>,
    number: u64,
    /// Messages of the bystander that were not polled yet.
    sent: usize,
    polled: usize,
}

impl ReaderWorld {
    pub(crate) fn new(operation: &'static str, name: &str) -> Result<Self> {
        let mut world = Self {
            operation,
            name: name.to_owned(),
            before: None,
            server: None,
            bystander: None,
            eye: None,
            number: 0,
            sent: 0,
            polled: 0,
        };
        if operation == "follow" {
            world.before = Some(helper("serve", name)?);
        } else {
            world.serve()?;
        }
        Ok(world)
    }

    fn serve(&mut self) -> Result<()> {
        let server = self.server.insert(config(&self.name).create()?);
        for number in 0..BEFORE {
            publish(server, PLAIN, number)?;
        }
        self.number = BEFORE;
        let mut bystander = Client::options().hold(Hold::Copy).open(&self.name)?;
        take_all(&mut bystander)?;
        self.bystander = Some(bystander);
        self.eye = Some(Eye::open(&self.name)?);
        Ok(())
    }

    fn parts(&mut self) -> Result<(&mut Server, &mut Client, &mut u64)> {
        match (&mut self.server, &mut self.bystander) {
            (Some(server), Some(bystander)) => Ok((server, bystander, &mut self.number)),
            _ => bail!("the world is not ready"),
        }
    }

    fn publish(&mut self) -> Result<()> {
        let (server, bystander, number) = self.parts()?;
        publish(server, PLAIN, *number)?;
        *number += 1;
        whole(&bystander.latest()?.context("no newest frame")?)?;
        Ok(())
    }

    /// Takes the messages: whole ones in order, and no damage.
    fn poll(&mut self) -> Result<()> {
        let server = self.server.as_ref().context("no server")?;
        let batch = server.poll_control(64);
        ensure!(batch.damaged.is_empty(), "{:?}", batch.damaged);
        for message in batch.messages {
            ensure!(message.ty == TYPE, "a message of type {:#x}", message.ty);
            if message.data == OTHER {
                self.sent = self.sent.checked_sub(1).context("a message that nobody has sent")?;
            } else {
                ensure!(message.data == MESSAGE || message.data == EARLIER, "a damaged message: {:?}", message.data);
                self.polled += 1;
            }
        }
        ensure!(self.sent == 0, "{} messages are lost", self.sent);
        Ok(())
    }

    fn send(&mut self) -> Result<()> {
        self.bystander.as_ref().context("no bystander")?.control_send(TYPE, OTHER)?;
        self.sent += 1;
        self.poll()
    }

    /// Everybody gets on, with these readers attached.
    fn gets_on(&mut self, newcomer: &mut Client) -> Result<()> {
        self.poll()?;
        self.send()?;
        newcomer.control_send(TYPE, OTHER)?;
        self.sent += 1;
        self.poll()?;
        let (server, bystander, number) = self.parts()?;
        laps(server, PLAIN, number, newcomer, 0)?;
        take_all(bystander)?;
        whole(&bystander.latest()?.context("no newest frame")?)?;
        bystander.directory()?;
        Ok(())
    }

    fn finish(mut self, newcomer: Client) -> Result<()> {
        let (Some(eye), Some(bystander)) = (self.eye.take(), self.bystander.take()) else { bail!("no world") };
        let expected: &[usize] = match self.operation {
            "send" | "send-and-wake" => &[0, 1],
            "send-over-the-end" => &[2, 3],
            _ => &[0],
        };
        ensure!(expected.contains(&self.polled), "{} messages of the victim", self.polled);
        drop(newcomer);
        drop(bystander);
        readers_are(&[], &eye)?;
        self.server = None;
        nothing_left(&self.name)
    }
}

impl World for ReaderWorld {
    fn ready(&mut self) -> Result<()> {
        match self.operation {
            "follow" => {
                self.before.take().context("no server before")?.kill()?;
                self.serve()?;
            }
            // Its two messages are taken, so that the third has room.
            "send-over-the-end" => self.poll()?,
            "send-and-wake" => {
                self.poll()?;
                // It sleeps, and finds nothing.
                self.server.as_ref().context("no server")?.wait_control(16, Duration::from_millis(1))?;
            }
            _ => {}
        }
        Ok(())
    }

    fn beside(&mut self, beside: Beside, then: &mut dyn FnMut() -> Result<()>) -> Result<()> {
        match beside {
            Beside::Publish => self.publish()?,
            Beside::Lap => {
                for _ in 0..=SLOTS {
                    self.publish()?;
                }
            }
            Beside::HalfAFrame | Beside::LapAndHalf => {
                // Until the slot of what was the newest frame is the next in turn.
                for _ in 0..if beside == Beside::LapAndHalf { SLOTS - 1 } else { 0 } {
                    self.publish()?;
                }
                let server = self.server.as_mut().context("no server")?;
                let number = self.number;
                let mut frame = server.begin_frame()?;
                frame.append_stream(frames::NUMBER, &[number, MAX_LEN.into()])?;
                then()?;
                frames::fill(
                    PLAIN,
                    number,
                    frame.reserve_raw(frames::DATA, frames::len_of(PLAIN, number, MAX_LEN) as u32)?,
                );
                frame.publish_frame(number as f64)?;
                self.number += 1;
                return Ok(());
            }
            Beside::WhenTaken => {
                let (server, _, number) = self.parts()?;
                match server.begin_frame_when_taken(Duration::ZERO) {
                    Ok(mut frame) => {
                        fill(&mut frame, PLAIN, *number)?;
                        frame.publish_frame(*number as f64)?;
                        *number += 1;
                    }
                    // The victim may be a reader that wants every frame.
                    Err(BeginError::NotTaken { .. }) => {}
                    Err(e) => return Err(e.into()),
                }
            }
            Beside::Reap => {
                let reaped = self.server.as_ref().context("no server")?.reap_dead_readers();
                ensure!(reaped.is_empty(), "a living reader was reaped: {reaped:?}");
            }
            Beside::Poll => self.poll()?,
            Beside::SleepForMessages => {
                self.poll()?;
                let batch = self.server.as_ref().context("no server")?.wait_control(64, Duration::from_millis(1))?;
                ensure!(batch.damaged.is_empty() && batch.messages.is_empty(), "{batch:?}");
            }
            Beside::AddStream => {
                let (server, bystander, _) = self.parts()?;
                server.add_stream(frames::added_stream(ADDED))?;
                let found = bystander.directory()?;
                ensure!(found.streams.iter().any(frames::is_added_stream), "the stream is not there");
            }
            Beside::AttachAndDetach => {
                let mut client = Client::open(&self.name)?;
                whole(&client.latest()?.context("no newest frame")?)?;
            }
            Beside::ReadNewest => drop(whole(&self.parts()?.1.latest()?.context("no newest frame")?)?),
            Beside::Lease => {
                let options = Client::options().copy_up_to(0).hold(Hold::Lease);
                let mut client = options.open(&self.name)?;
                let kept = Kept::new(client.latest()?.context("no newest frame")?.keep())?;
                then()?;
                self.publish()?;
                self.publish()?;
                return kept.check();
            }
            Beside::Send => self.send()?,
            other => bail!("nobody here can {other}"),
        }
        then()
    }

    fn dead(mut self: Box<Self>, way: Way) -> Result<bool> {
        // Nobody waits for the dead.
        self.publish()?;
        let name = self.name.clone();
        let mut newcomers = Vec::new();
        if way == Way::Other {
            for _ in 0..2 {
                match Client::open(&name) {
                    Ok(client) => newcomers.push(client),
                    // Half a reader keeps its slot for the time of grace.
                    Err(OpenError::NoReaderSlot { .. }) if !newcomers.is_empty() => {}
                    Err(e) => return Err(e.into()),
                }
            }
        }
        let (server, bystander, number) = self.parts()?;
        let frame = server.begin_frame_when_taken(FOR_EVER).map(|mut frame| {
            fill(&mut frame, PLAIN, *number)?;
            frame.publish_frame(*number as f64)?;
            anyhow::Ok(())
        });
        frame??;
        *number += 1;
        take_all(bystander)?;
        let living = |clients: &[Client], bystander: &Client| -> Vec<u32> {
            clients.iter().chain([bystander]).filter_map(Client::reader_index).collect()
        };
        let (server, bystander) = (self.server.as_ref().context("no server")?, self.bystander.as_ref());
        let bystander = bystander.context("no bystander")?;
        let eye = self.eye.as_ref().context("no eye")?;
        let graced = readers_become(&living(&newcomers, bystander), eye, || drop(server.reap_dead_readers()))?;
        // Every slot can be had again.
        while newcomers.len() < 2 {
            newcomers.push(Client::open(&name)?);
        }
        let mut newcomer = newcomers.pop().context("no newcomer")?;
        self.gets_on(&mut newcomer)?;
        drop(newcomers);
        self.finish(newcomer)?;
        Ok(graced)
    }

    fn alive(&mut self) -> Result<()> {
        let reaped = self.server.as_ref().context("no server")?.reap_dead_readers();
        ensure!(reaped.is_empty(), "a living reader was reaped: {reaped:?}");
        self.publish()
    }

    fn after(mut self: Box<Self>, outcome: Outcome) -> Result<()> {
        ensure!(outcome == Outcome::Done, "a reader was refused");
        let bystander = self.bystander.as_ref().and_then(Client::reader_index).context("no bystander")?;
        // It left in good order: at once, and without a reaper.
        readers_are(&[bystander], self.eye.as_ref().context("no eye")?)?;
        let mut newcomer = Client::open(&self.name)?;
        self.gets_on(&mut newcomer)?;
        self.finish(newcomer)
    }
}
