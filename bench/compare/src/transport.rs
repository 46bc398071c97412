//! What a contender must be able to do: move frames one way between two processes.

use anyhow::{Result, bail};
use serde::{Deserialize, Serialize};

/// Frames that a queue or ring holds, for every contender that lets one choose.
pub(crate) const DEPTH: usize = 4;

/// How one way between two processes is set up.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct Opts {
    /// Bytes of a payload, a multiple of 8.
    pub(crate) bytes: usize,
    /// Whether readers sleep.
    pub(crate) block: bool,
    /// Most readers of one sender.
    pub(crate) readers: usize,
}

/// The sending end.
pub(crate) trait Tx: Sized {
    fn create(name: &str, opts: &Opts) -> Result<Self>;

    /// Sends one frame of `words` words that `write` fills or leaves as they are: all of them from number 0 on, or one
    /// piece after the other by the number of its first word.
    fn send(&mut self, words: usize, write: impl FnMut(usize, &mut [u64])) -> Result<()>;
}

/// The receiving end.
pub(crate) trait Rx: Sized {
    fn open(name: &str, opts: &Opts) -> Result<Self>;

    /// Whether frames are read while they are written, by [`Rx::recv_in_pieces`] alone.
    const FOLLOWS: bool = false;

    /// Takes the next frame, piece by piece from its start on.
    fn recv_in_pieces(&mut self, read: impl FnMut(&[u64])) -> Result<Option<()>> {
        let _ = read;
        bail!("it takes whole frames")
    }

    /// Takes the next frame if there is one. Never waits.
    fn try_recv<R>(&mut self, read: impl FnMut(&[u64]) -> R) -> Result<Option<R>>;

    /// The same for a receiver that has nothing else to do: may also return only when there is a frame, or when a second
    /// has passed.
    fn recv_spinning<R>(&mut self, read: impl FnMut(&[u64]) -> R) -> Result<Option<R>> {
        self.try_recv(read)
    }

    /// Sleeps until there is a frame and takes it; may return with none now and then.
    fn recv_blocking<R>(&mut self, read: impl FnMut(&[u64]) -> R) -> Result<Option<R>> {
        let _ = read;
        bail!("it cannot sleep")
    }
}
