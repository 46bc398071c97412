//! SHMX through its public facade.

use crate::payload;
use crate::transport::{DEPTH, Opts, Rx, Tx};
use anyhow::{Result, bail, ensure};
use shmx::{Checksum, Client, Hold, Server, StreamId, StreamSpec, Verify};
use std::time::Duration;

const STREAM: u32 = 1;

/// Longest wait for a frame.
const PATIENCE: Duration = Duration::from_secs(1);

/// Room for readers that a server has by default.
const READERS: usize = 16;

/// Bytes that the record's own header takes in a frame, generously.
const ROOM: usize = 64;

/// `HISTORY`: frames that the server keeps; 0 is its default.
pub(crate) struct ShmxTx<const HASH: bool, const LEASE: bool, const HISTORY: u32 = 0> {
    server: Server,
    /// Where a frame is made before it is copied into the slot.
    private: Vec<u64>,
}

impl<const HASH: bool, const LEASE: bool, const HISTORY: u32> Tx for ShmxTx<HASH, LEASE, HISTORY> {
    fn create(name: &str, opts: &Opts) -> Result<Self> {
        let payload = StreamSpec::of::<u64>(STREAM, "payload");
        let builder = Server::builder(name).stream(payload, (opts.bytes / 8).try_into()?).slots(DEPTH as u32);
        let builder = builder.reader_slots(opts.readers.max(READERS).try_into()?);
        let builder = builder.frame_bytes((opts.bytes + ROOM).try_into()?);
        let builder = builder.checksum(if HASH { Checksum::Always } else { Checksum::Never });
        // Reading the clock for each frame is for those who want to know how old it is.
        let server = builder.publish_time(false).history(HISTORY).create()?;
        let private = if LEASE { Vec::new() } else { vec![0; payload::words(opts.bytes)] };
        Ok(Self { server, private })
    }

    fn send(&mut self, words: usize, mut write: impl FnMut(usize, &mut [u64])) -> Result<()> {
        let mut frame = self.server.begin_frame()?;
        if LEASE {
            write(0, frame.reserve_stream::<u64>(STREAM, words)?);
        } else {
            write(0, &mut self.private);
            frame.append_stream(STREAM, &self.private)?;
        }
        frame.publish_frame(0.0)?;
        Ok(())
    }
}

/// `SMALL`: also small frames by lease, where the default is to copy them.
pub(crate) struct ShmxRx<const HASH: bool, const LEASE: bool, const SMALL: bool> {
    client: Client,
    payload: StreamId<u64>,
}

impl<const HASH: bool, const LEASE: bool, const SMALL: bool> Rx for ShmxRx<HASH, LEASE, SMALL> {
    fn open(name: &str, opts: &Opts) -> Result<Self> {
        let options = Client::options().hold(if LEASE { Hold::Lease } else { Hold::Copy });
        let options = options.verify(if HASH { Verify::Always } else { Verify::Auto });
        let options = if opts.block { options } else { options.spin(PATIENCE) };
        let options = if SMALL { options.copy_up_to(0) } else { options };
        let client = options.open(name)?;
        let payload = client.stream(STREAM)?;
        Ok(Self { client, payload })
    }

    fn try_recv<R>(&mut self, mut read: impl FnMut(&[u64]) -> R) -> Result<Option<R>> {
        let Some(frame) = self.client.try_next()? else { return Ok(None) };
        Ok(Some(read(frame.get(self.payload)?)))
    }

    fn recv_spinning<R>(&mut self, read: impl FnMut(&[u64]) -> R) -> Result<Option<R>> {
        self.recv_blocking(read)
    }

    fn recv_blocking<R>(&mut self, mut read: impl FnMut(&[u64]) -> R) -> Result<Option<R>> {
        let Some(frame) = self.client.next(PATIENCE)? else { return Ok(None) };
        Ok(Some(read(frame.get(self.payload)?)))
    }
}

/// With default settings, or with every frame hashed and verified.
pub(crate) struct PlainTx<const HASH: bool>(Server);

impl<const HASH: bool> Tx for PlainTx<HASH> {
    fn create(name: &str, opts: &Opts) -> Result<Self> {
        let builder =
            Server::builder(name).stream(StreamSpec::of::<u64>(STREAM, "payload"), (opts.bytes / 8).try_into()?);
        Ok(Self(if HASH { builder.checksum(Checksum::Always) } else { builder }.create()?))
    }

    fn send(&mut self, words: usize, mut write: impl FnMut(usize, &mut [u64])) -> Result<()> {
        let mut frame = self.0.begin_frame()?;
        write(0, frame.reserve_stream::<u64>(STREAM, words)?);
        frame.publish_frame(0.0)?;
        Ok(())
    }
}

pub(crate) struct PlainRx<const HASH: bool>(Client, StreamId<u64>);

impl<const HASH: bool> Rx for PlainRx<HASH> {
    fn open(name: &str, opts: &Opts) -> Result<Self> {
        let options = if HASH { Client::options().verify(Verify::Always) } else { Client::options() };
        // Awake means that it polls; default settings poll for 5 us.
        let client = if opts.block { options } else { options.spin(PATIENCE) }.open(name)?;
        let payload = client.stream(STREAM)?;
        Ok(Self(client, payload))
    }

    fn try_recv<R>(&mut self, mut read: impl FnMut(&[u64]) -> R) -> Result<Option<R>> {
        let Some(frame) = self.0.try_next()? else { return Ok(None) };
        Ok(Some(read(frame.get(self.1)?)))
    }

    fn recv_spinning<R>(&mut self, read: impl FnMut(&[u64]) -> R) -> Result<Option<R>> {
        self.recv_blocking(read)
    }

    fn recv_blocking<R>(&mut self, mut read: impl FnMut(&[u64]) -> R) -> Result<Option<R>> {
        let Some(frame) = self.0.next(PATIENCE)? else { return Ok(None) };
        Ok(Some(read(frame.get(self.1)?)))
    }
}

/// Frames are read while they are written.
pub(crate) struct FollowTx<const HASH: bool>(Server);

/// Bytes that followers are told of at a time: an eighth of the frame, within bounds.
const PIECE: std::ops::RangeInclusive<usize> = 4 << 10..=64 << 10;

impl<const HASH: bool> Tx for FollowTx<HASH> {
    fn create(name: &str, opts: &Opts) -> Result<Self> {
        Ok(Self(ShmxTx::<HASH, true, 1>::create(name, opts)?.server))
    }

    fn send(&mut self, words: usize, mut write: impl FnMut(usize, &mut [u64])) -> Result<()> {
        let mut frame = self.0.begin_frame()?;
        let mut payload = frame.fill_stream::<u64>(STREAM, words)?;
        let piece = payload::words((words * size_of::<u64>() / 8).clamp(*PIECE.start(), *PIECE.end()));
        while !payload.is_filled() {
            let at = payload.committed();
            let rest = payload.rest();
            let count = rest.len().min(piece);
            write(at, &mut rest[..count]);
            payload.commit(count)?;
        }
        frame.publish_frame(0.0)?;
        Ok(())
    }
}

pub(crate) struct FollowRx<const HASH: bool>(Client, StreamId<u64>);

impl<const HASH: bool> Rx for FollowRx<HASH> {
    const FOLLOWS: bool = true;

    fn open(name: &str, opts: &Opts) -> Result<Self> {
        let ShmxRx { mut client, payload } = ShmxRx::<HASH, true, true>::open(name, opts)?;
        // The server learns of it before its first frame.
        ensure!(client.follow(Duration::ZERO)?.is_none(), "nobody has sent anything yet");
        Ok(Self(client, payload))
    }

    fn try_recv<R>(&mut self, _: impl FnMut(&[u64]) -> R) -> Result<Option<R>> {
        bail!("it takes frames in pieces")
    }

    fn recv_in_pieces(&mut self, mut read: impl FnMut(&[u64])) -> Result<Option<()>> {
        let Some(frame) = self.0.follow_next(PATIENCE)? else { return Ok(None) };
        frame.fold(self.1, PATIENCE, (), |(), _, piece| read(piece))?;
        Ok(Some(()))
    }
}
