//! A reader that follows a frame is the victim; its server, a process too, is writing that frame.

use crate::chaos::look::Eye;
use crate::steps::acts::READERS;
use crate::steps::trace::Tracee;
use crate::steps::world::{Beside, Outcome, Way, World, helper, nothing_left, readers_are, readers_become};
use anyhow::{Context, Result, bail, ensure};
use shmx::{Client, Hold};

/// What others can do while the victim stands still: the server ends its frame and publishes laps of others.
pub(crate) const BESIDES: &[Beside] = &[Beside::Publish, Beside::AttachAndDetach, Beside::Inspect];

pub(crate) struct FollowWorld {
    name: String,
    server: Option<Tracee>,
    eye: Eye,
    published: bool,
}

impl FollowWorld {
    pub(crate) fn new(name: &str) -> Result<Self> {
        let server = Some(helper("write-in-pieces", name)?);
        Ok(Self { name: name.to_owned(), server, eye: Eye::open(name)?, published: false })
    }

    /// The server ends its frame; it finds each of its slots free again but for those that living readers lease.
    fn publish(&mut self) -> Result<()> {
        if !self.published {
            self.published = true;
            self.server.as_mut().context("no server")?.go_on()?;
        }
        Ok(())
    }

    fn finish(mut self) -> Result<()> {
        self.publish()?;
        // Nobody is left; the server ends as one that never had a reader.
        readers_are(&[], &self.eye)?;
        let (code, said) = self.server.take().context("no server")?.finish()?;
        ensure!(code == 0, "the server ended with {code}: {said}");
        nothing_left(&self.name)
    }
}

impl World for FollowWorld {
    fn ready(&mut self) -> Result<()> {
        // Half of the frame is there now.
        self.server.as_mut().context("no server")?.go_on()
    }

    fn beside(&mut self, beside: Beside, then: &mut dyn FnMut() -> Result<()>) -> Result<()> {
        match beside {
            Beside::Publish => self.publish()?,
            Beside::AttachAndDetach => drop(Client::options().hold(Hold::Copy).open(&self.name)?.latest()?),
            Beside::Inspect => drop(self.eye.look()?),
            other => bail!("nobody here can {other}"),
        }
        then()
    }

    fn dead(mut self: Box<Self>, _: Way) -> Result<bool> {
        if self.published {
            // The server stands still: readers that find no free slot take the dead one's.
            drop((0..READERS).map(|_| Ok(Client::open(&self.name)?)).collect::<Result<Vec<_>>>()?);
        }
        // A server that gets on reaps before it counts its slots.
        self.publish()?;
        readers_become(&[], &self.eye, || {})?;
        self.finish()?;
        Ok(false)
    }

    fn alive(&mut self) -> Result<()> {
        Ok(())
    }

    fn after(self: Box<Self>, outcome: Outcome) -> Result<()> {
        ensure!(outcome == Outcome::Done, "a reader was refused");
        self.finish()
    }
}
