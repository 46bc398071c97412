//! SHMX through its public facade.

use crate::payload;
use crate::transport::{DEPTH, Opts, Rx, Tx};
use anyhow::Result;
use shmx::{Client, ClientOptions, Config, Server, StaticStream};
use std::time::Duration;

const STREAM: u32 = 1;

/// Longest wait for a frame.
const PATIENCE: Duration = Duration::from_secs(1);

/// Bytes that the record's own header takes in a frame, generously.
const ROOM: usize = 64;

pub(crate) struct ShmxTx<const HASH: bool, const LEASE: bool> {
    server: Server,
    /// Where a frame is made before it is copied into the slot.
    private: Vec<u64>,
}

impl<const HASH: bool, const LEASE: bool> Tx for ShmxTx<HASH, LEASE> {
    fn create(name: &str, opts: &Opts) -> Result<Self> {
        let mut config = Config::new(name);
        config.slots = DEPTH as u32;
        config.frame_bytes_cap = (opts.bytes + ROOM).try_into()?;
        config.checksum = HASH;
        // Reading the clock for each frame is for those who want to know how old it is.
        config.publish_time = false;
        let server = Server::create(&config, &[StaticStream::of::<u64>(STREAM, "payload")])?;
        let private = if LEASE { Vec::new() } else { vec![0; payload::words(opts.bytes)] };
        Ok(Self { server, private })
    }

    fn send(&mut self, words: usize, write: impl FnOnce(&mut [u64])) -> Result<()> {
        let mut frame = self.server.begin_frame_mut()?;
        if LEASE {
            write(frame.reserve_stream::<u64>(STREAM, words)?);
        } else {
            write(&mut self.private);
            frame.append_stream(STREAM, &self.private)?;
        }
        frame.publish_frame(0.0)?;
        Ok(())
    }
}

/// `SMALL`: also small frames by lease, where the default is to copy them.
pub(crate) struct ShmxRx<const LEASE: bool, const SMALL: bool> {
    client: Client,
}

impl<const LEASE: bool, const SMALL: bool> Rx for ShmxRx<LEASE, SMALL> {
    fn open(name: &str, opts: &Opts) -> Result<Self> {
        let mut options = ClientOptions::default();
        if !opts.block {
            options.spin = PATIENCE;
        }
        options.lease = LEASE;
        if SMALL {
            options.copy_up_to = 0;
        }
        Ok(Self { client: Client::open_with(name, options)? })
    }

    fn try_recv<R>(&mut self, mut read: impl FnMut(&[u64]) -> R) -> Result<Option<R>> {
        let Some(frame) = self.client.try_next_ref()? else { return Ok(None) };
        Ok(Some(read(frame.get::<u64>(STREAM)?)))
    }

    fn recv_spinning<R>(&mut self, read: impl FnMut(&[u64]) -> R) -> Result<Option<R>> {
        self.recv_blocking(read)
    }

    fn recv_blocking<R>(&mut self, mut read: impl FnMut(&[u64]) -> R) -> Result<Option<R>> {
        let Some(frame) = self.client.next_ref(PATIENCE)? else { return Ok(None) };
        Ok(Some(read(frame.get::<u64>(STREAM)?)))
    }
}
