//! The file under a recording: counts what was written, and stays quiet after the first failure.

use std::fs::File;
use std::io::{self, Seek, SeekFrom, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// What the sink tells its owner while the MCAP writer has it.
#[derive(Debug, Default)]
pub(crate) struct SinkState {
    written: AtomicU64,
    failed: AtomicBool,
    /// What is written stays in memory: the file still holds something else.
    held: AtomicBool,
}

impl SinkState {
    pub(crate) fn written(&self) -> u64 {
        self.written.load(Ordering::Relaxed)
    }

    pub(crate) fn is_held(&self) -> bool {
        self.held.load(Ordering::Relaxed)
    }

    /// The next write goes into the file, and what was held before it.
    pub(crate) fn release(&self) {
        self.held.store(false, Ordering::Relaxed);
    }

    /// Refuses all further writes.
    pub(crate) fn fail(&self) {
        self.failed.store(true, Ordering::Relaxed);
    }
}

/// A file that is written from front to back.
///
/// After a write has failed every other fails too: otherwise the MCAP writer, which finishes its file when dropped,
/// would go on behind a hole once there is room again.
#[derive(Debug)]
pub(crate) struct Sink {
    file: File,
    held: Vec<u8>,
    state: Arc<SinkState>,
}

impl Sink {
    /// Writes to the file; if `held` is true, not before it is released.
    pub(crate) fn new(file: File, held: bool) -> (Self, Arc<SinkState>) {
        let state = Arc::new(SinkState { held: held.into(), ..SinkState::default() });
        (Self { file, held: Vec::new(), state: state.clone() }, state)
    }

    fn put(&mut self, buf: &[u8]) -> io::Result<usize> {
        if self.state.is_held() {
            self.held.extend_from_slice(buf);
            return Ok(buf.len());
        }
        if !self.held.is_empty() {
            self.file.write_all(&std::mem::take(&mut self.held))?;
        }
        self.file.write(buf)
    }
}

impl Write for Sink {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        if self.state.failed.load(Ordering::Relaxed) {
            return Err(io::Error::other("an earlier write has failed"));
        }
        match self.put(buf) {
            Ok(n) => {
                self.state.written.fetch_add(n as u64, Ordering::Relaxed);
                Ok(n)
            }
            Err(e) => {
                if e.kind() != io::ErrorKind::Interrupted {
                    self.state.fail();
                }
                Err(e)
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl Seek for Sink {
    /// Only asks for the position: nothing is ever written twice.
    fn seek(&mut self, pos: SeekFrom) -> io::Result<u64> {
        match pos {
            SeekFrom::Current(0) => Ok(self.state.written()),
            _ => Err(io::Error::new(io::ErrorKind::Unsupported, "a recording is written from front to back")),
        }
    }
}
