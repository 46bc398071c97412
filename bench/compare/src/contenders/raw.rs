//! The limit: a buffer and a flag, no protocol at all.
//!
//! It is right only because the harness never sends the next frame into a buffer before the last one was read.

use crate::memory::{Memory, PAGE};
use crate::transport::{DEPTH, Opts, Rx, Tx};
use anyhow::Result;
use rustix::thread::futex;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

fn stride(opts: &Opts) -> usize {
    opts.bytes.next_multiple_of(PAGE)
}

/// `BUFFERS` buffers in turn; the flag on its own cache line counts frames. With 0 buffers, only the flag. With `COPY`,
/// frames are made and read in private memory.
pub(crate) struct RawTx<const BUFFERS: usize, const COPY: bool> {
    memory: Memory,
    private: Vec<u64>,
    stride: usize,
    sent: u32,
    block: bool,
}

pub(crate) struct RawRx<const BUFFERS: usize, const COPY: bool> {
    memory: Memory,
    private: Vec<u64>,
    stride: usize,
    words: usize,
    taken: u32,
}

pub(crate) const MANY: usize = DEPTH;

const fn buffer<const BUFFERS: usize>(frame: u32, stride: usize) -> usize {
    PAGE + (frame as usize % BUFFERS) * stride
}

impl<const BUFFERS: usize, const COPY: bool> Tx for RawTx<BUFFERS, COPY> {
    fn create(name: &str, opts: &Opts) -> Result<Self> {
        let stride = stride(opts);
        let memory = Memory::create(name, PAGE + BUFFERS * stride)?;
        Ok(Self { memory, private: vec![0; opts.bytes / 8], stride, sent: 0, block: opts.block })
    }

    fn send(&mut self, words: usize, mut write: impl FnMut(usize, &mut [u64])) -> Result<()> {
        if BUFFERS > 0 {
            // SAFETY: the harness lets no more frames be unread than there are buffers, so the reader is done here.
            let shared = unsafe { self.memory.words_mut(buffer::<BUFFERS>(self.sent, self.stride), words) };
            if COPY {
                write(0, &mut self.private);
                shared.copy_from_slice(&self.private);
            } else {
                write(0, shared);
            }
        }
        self.sent = self.sent.wrapping_add(1);
        let flag = self.memory.u32(0);
        flag.store(self.sent, Ordering::Release);
        if self.block {
            futex::wake(flag, futex::Flags::empty(), i32::MAX as u32)?;
        }
        Ok(())
    }
}

impl<const BUFFERS: usize, const COPY: bool> RawRx<BUFFERS, COPY> {
    fn flag(&self) -> &AtomicU32 {
        self.memory.u32(0)
    }
}

impl<const BUFFERS: usize, const COPY: bool> Rx for RawRx<BUFFERS, COPY> {
    fn open(name: &str, opts: &Opts) -> Result<Self> {
        let memory = Memory::open(name)?;
        let taken = memory.u32(0).load(Ordering::Acquire);
        let words = opts.bytes / 8;
        Ok(Self { memory, private: vec![0; words], stride: stride(opts), words, taken })
    }

    fn try_recv<R>(&mut self, mut read: impl FnMut(&[u64]) -> R) -> Result<Option<R>> {
        if self.flag().load(Ordering::Acquire) == self.taken {
            return Ok(None);
        }
        let at = buffer::<BUFFERS>;
        let result = if BUFFERS > 0 {
            // SAFETY: the writer has passed this buffer on and does not touch it before the harness says it was read.
            let shared = unsafe { self.memory.words(at(self.taken, self.stride), self.words) };
            if COPY {
                self.private.copy_from_slice(shared);
                read(&self.private)
            } else {
                read(shared)
            }
        } else {
            read(&[])
        };
        self.taken = self.taken.wrapping_add(1);
        Ok(Some(result))
    }

    fn recv_blocking<R>(&mut self, read: impl FnMut(&[u64]) -> R) -> Result<Option<R>> {
        let timeout = Duration::from_secs(1).try_into().ok();
        // It returns at once when the flag has moved on, and an interruption is as good as a wake-up.
        let _ = futex::wait(self.flag(), futex::Flags::empty(), self.taken, timeout.as_ref());
        self.try_recv(read)
    }
}
