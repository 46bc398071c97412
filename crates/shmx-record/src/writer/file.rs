//! The file under a writer, and the clock of its times.

use crate::error::RecordError;
use crate::format::PROFILE;
use crate::sink::{Sink, SinkState};
use mcap::WriteOptions;
use std::fs::{File, OpenOptions};
use std::io::BufWriter;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

pub(super) type Mcap = mcap::Writer<BufWriter<Sink>>;

/// The file being written.
pub(super) struct OpenFile {
    pub(super) mcap: Mcap,
    pub(super) handle: File,
    pub(super) state: Arc<SinkState>,
    pub(super) path: PathBuf,
    pub(super) opened: Instant,
    /// Bytes of messages in the unfinished chunk, and when it was begun.
    pub(super) pending: u64,
    pub(super) pending_since: Option<Instant>,
    /// Length at which all chunks were finished.
    pub(super) good: u64,
    pub(super) frames: u64,
    /// Estimated bytes of the summary that comes at the end.
    pub(super) summary: u64,
    pub(super) channels: u64,
}

impl OpenFile {
    /// Creates the file and begins it.
    pub(super) fn create(
        path: PathBuf,
        overwrite: bool,
        compression: Option<mcap::Compression>,
    ) -> Result<Self, RecordError> {
        let fail = |source| RecordError::Create { path: path.clone(), source };
        let mut open = OpenOptions::new();
        open.read(true).write(true);
        if overwrite {
            open.create(true).truncate(true)
        } else {
            open.create_new(true)
        };
        let file = open.open(&path).map_err(fail)?;
        let handle = file.try_clone().map_err(fail)?;
        let (sink, state) = Sink::new(file);
        let mcap = WriteOptions::library(WriteOptions::new(), concat!("shmx-record ", env!("CARGO_PKG_VERSION")))
            .compression(compression)
            .profile(PROFILE)
            // Chunks are finished by us, whole and in one go, and never come back to.
            .chunk_size(None)
            .disable_seeking(true)
            // Chunks have checksums of their own; one more over everything costs a pass over all bytes.
            .calculate_data_section_crc(false)
            .create(BufWriter::with_capacity(64 << 10, sink))
            .map_err(|e| write_error(&path, 0, e))?;
        Ok(Self {
            mcap,
            handle,
            state,
            path,
            opened: Instant::now(),
            pending: 0,
            pending_since: None,
            good: 0,
            frames: 0,
            summary: 1024,
            channels: 0,
        })
    }
}

/// The wall clock as it was when the recording began, carried on by the wire clock: steps of the wall clock do not
/// reorder frames.
#[derive(Clone, Copy, Debug)]
pub(super) struct WallClock {
    pub(super) offset: i128,
}

impl WallClock {
    pub(super) fn now() -> Self {
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos();
        Self { offset: i128::try_from(wall).unwrap_or(0) - i128::from(shmx_os::clock::ticks()) }
    }

    pub(super) fn now_wall(self) -> u64 {
        self.of(shmx_os::clock::ticks())
    }

    pub(super) fn of(self, ticks: u64) -> u64 {
        u64::try_from(i128::from(ticks) + self.offset).unwrap_or(0)
    }
}

pub(super) fn write_error(path: &Path, kept: u64, e: mcap::McapError) -> RecordError {
    let path = path.to_owned();
    match e {
        mcap::McapError::Io(source) => RecordError::Write { path, kept, source },
        e => RecordError::Mcap { path, kept, source: Box::new(e) },
    }
}
