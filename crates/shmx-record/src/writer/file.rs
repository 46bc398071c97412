//! The file under a writer, and the clock of its times.

use super::options::WriterOptions;
use crate::error::RecordError;
use crate::format::PROFILE;
use crate::sink::{Sink, SinkState};
use mcap::WriteOptions;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{BufWriter, Seek};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

pub(super) type Mcap = mcap::Writer<BufWriter<Sink>>;

/// Files that are read while others are written: these must not be emptied.
#[derive(Debug, Default)]
pub(crate) struct Inputs(Vec<FileId>);

/// What a file is, whatever its name.
#[cfg(unix)]
type FileId = (u64, u64);
#[cfg(not(unix))]
type FileId = PathBuf;

#[cfg(unix)]
fn id(file: &File, _: &Path) -> Option<FileId> {
    use std::os::unix::fs::MetadataExt;
    file.metadata().ok().map(|m| (m.dev(), m.ino()))
}

#[cfg(not(unix))]
fn id(_: &File, path: &Path) -> Option<FileId> {
    path.canonicalize().ok()
}

impl Inputs {
    pub(crate) fn add(&mut self, file: &File, path: &Path) {
        self.0.extend(id(file, path));
    }

    fn has(&self, file: &File, path: &Path) -> bool {
        id(file, path).is_some_and(|id| self.0.contains(&id))
    }
}

/// The file being written.
pub(super) struct OpenFile {
    pub(super) mcap: Mcap,
    pub(super) handle: File,
    pub(super) state: Arc<SinkState>,
    pub(super) path: PathBuf,
    pub(super) opened: Instant,
    /// Bytes of messages in the unfinished chunk, and when it was begun.
    pub(super) pending: u64,
    /// Messages in it.
    pub(super) messages: u64,
    pub(super) pending_since: Option<Instant>,
    /// Length at which all chunks were finished.
    pub(super) good: u64,
    pub(super) frames: u64,
    /// Estimated bytes of the summary that comes at the end.
    pub(super) summary: u64,
    pub(super) channels: u64,
    /// The memory that it took when its regions were told of.
    pub(super) begun_with: u64,
    /// And the channels.
    pub(super) begun_channels: u64,
    /// Who may read it, once it is taken over.
    mode: u32,
}

/// Estimated bytes of a summary of nothing.
const SUMMARY: u64 = 1024;
/// Channels of a file, unless it begins with nearly as many.
const MOST_CHANNELS: u64 = 30_000;
/// The format has numbers for 65 535.
const ALL_CHANNELS: u64 = 65_000;

/// Begins a file at its front.
fn begin(
    file: &File,
    held: bool,
    options: &WriterOptions,
    compression: Option<mcap::Compression>,
) -> mcap::McapResult<(Mcap, Arc<SinkState>)> {
    let mut file = file.try_clone()?;
    file.rewind()?;
    let (sink, state) = Sink::new(file, held);
    let form = WriteOptions::library(WriteOptions::new(), concat!("shmx-record ", env!("CARGO_PKG_VERSION")))
        .compression(compression)
        .profile(PROFILE)
        // Chunks are finished by us, whole and in one go, and never come back to.
        .chunk_size(None)
        .disable_seeking(true)
        // Chunks have checksums of their own; one more over everything costs a pass over all bytes.
        .calculate_data_section_crc(false);
    #[cfg(any(feature = "zstd", feature = "lz4"))]
    let form = form.compression_level(options.level.unwrap_or(0));
    #[cfg(feature = "zstd")]
    let form = form.compression_threads(0);
    let _ = options;
    Ok((form.create(BufWriter::with_capacity(64 << 10, sink))?, state))
}

impl OpenFile {
    /// Creates the file and begins it, or replaces one that is none of the inputs. For now this user alone may read it.
    pub(super) fn create(
        path: PathBuf,
        options: &WriterOptions,
        compression: Option<mcap::Compression>,
        replace: bool,
        inputs: &Inputs,
    ) -> Result<Self, RecordError> {
        let fail = |source| RecordError::Create { path: path.clone(), source };
        let mut open = OpenOptions::new();
        open.read(true).write(true);
        if replace {
            open.create(true)
        } else {
            open.create_new(true)
        };
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut open, 0o600);
        // Before it is opened: opening a device or a pipe may do things.
        if std::fs::metadata(&path).is_ok_and(|m| !m.is_file()) {
            return Err(RecordError::NotAFile { path });
        }
        let file = match open.open(&path) {
            Ok(file) => file,
            Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists => return Err(RecordError::Exists { path }),
            Err(e) => return Err(fail(e)),
        };
        if inputs.has(&file, &path) {
            return Err(RecordError::Input { path });
        }
        match file.try_lock() {
            Err(TryLockError::WouldBlock) => return Err(RecordError::InUse { path }),
            // Some file systems have no locks; a recording needs none there.
            Ok(()) | Err(TryLockError::Error(_)) => {}
        }
        // What is there is replaced by the first frame, where nothing is kept of a recording without one.
        let held = options.discard_empty && file.metadata().is_ok_and(|m| m.len() > 0);
        // Only now: another recorder's file must not be emptied.
        if !held {
            file.set_len(0).map_err(fail)?;
            restrict(&file, 0o600).map_err(fail)?;
        }
        let (mcap, state) = begin(&file, held, options, compression).map_err(|e| write_error(&path, 0, e))?;
        Ok(Self {
            mcap,
            handle: file,
            state,
            path,
            opened: Instant::now(),
            pending: 0,
            messages: 0,
            pending_since: None,
            good: 0,
            frames: 0,
            summary: SUMMARY,
            channels: 0,
            begun_with: 0,
            begun_channels: 0,
            mode: 0o600,
        })
    }

    /// Begins the file anew, which has no frame yet.
    pub(super) fn begin_again(
        &mut self,
        options: &WriterOptions,
        compression: Option<mcap::Compression>,
    ) -> Result<(), RecordError> {
        // What is left of the old one writes nothing more.
        self.state.fail();
        let held = self.state.is_held();
        let fail = |source| RecordError::Create { path: self.path.clone(), source };
        if !held {
            self.handle.set_len(0).map_err(fail)?;
        }
        (self.mcap, self.state) =
            begin(&self.handle, held, options, compression).map_err(|e| write_error(&self.path, 0, e))?;
        (self.pending, self.messages, self.pending_since) = (0, 0, None);
        (self.good, self.summary, self.channels) = (0, SUMMARY, 0);
        Ok(())
    }

    /// Bytes of memory that grow with it: its index, and all of it while it is held.
    pub(super) fn memory(&self) -> u64 {
        self.summary + if self.state.is_held() { self.state.written() } else { 0 }
    }

    /// Whether its index is larger than it may be, or it has nearly as many channels as a file can have.
    pub(super) fn is_crowded(&self, most: u64) -> bool {
        let most_channels = MOST_CHANNELS.max(self.begun_channels.saturating_mul(2).min(ALL_CHANNELS));
        self.channels > most_channels || self.memory() > most.max(self.begun_with.saturating_mul(2))
    }

    /// Sets who may read it.
    pub(super) fn restrict(&mut self, mode: u32) -> Result<(), RecordError> {
        self.mode = mode;
        if self.state.is_held() {
            return Ok(());
        }
        restrict(&self.handle, mode).map_err(|source| RecordError::Create { path: self.path.clone(), source })
    }

    /// Begins to write to the file, if that still holds what was there before.
    pub(super) fn take_over(&mut self) -> Result<(), RecordError> {
        if !self.state.is_held() {
            return Ok(());
        }
        self.handle.set_len(0).map_err(|source| RecordError::Create { path: self.path.clone(), source })?;
        self.state.release();
        // What was held comes with the next chunk.
        self.good = 0;
        self.restrict(self.mode)
    }

    /// Cuts off what is behind the last finished chunk.
    pub(super) fn cut(&self) -> std::io::Result<()> {
        if self.state.is_held() { Ok(()) } else { self.handle.set_len(self.good) }
    }

    /// Ends a file without a frame: removes it, or leaves what was there before.
    pub(super) fn drop_empty(self) {
        self.state.fail();
        if !self.state.is_held() && self.harm().is_none() {
            let _ = std::fs::remove_file(&self.path);
        }
    }

    /// What somebody else has done to the file.
    pub(super) fn harm(&self) -> Option<&'static str> {
        let Ok(mine) = self.handle.metadata() else { return None };
        if !self.state.is_held() && mine.len() < self.good {
            return Some("was cut short");
        }
        #[cfg(unix)]
        {
            use std::os::unix::fs::MetadataExt;
            match std::fs::metadata(&self.path) {
                Ok(named) if (named.dev(), named.ino()) == (mine.dev(), mine.ino()) => {}
                Ok(_) => return Some("was replaced by another file"),
                Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Some("was removed"),
                // A folder that may not be looked at any more does the file no harm.
                Err(_) => {}
            }
        }
        None
    }
}

/// Sets who may read a file: this user, and of the others those that `mode` and the umask leave.
fn restrict(file: &File, mode: u32) -> std::io::Result<()> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        file.set_permissions(std::fs::Permissions::from_mode(mode & 0o666 & !umask() | 0o600))?;
    }
    let _ = (file, mode);
    Ok(())
}

/// This process's umask. Asking the system would mean to change it for a moment, also for other threads.
#[cfg(unix)]
fn umask() -> u32 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let told = status.lines().find_map(|l| l.strip_prefix("Umask:"));
    told.and_then(|m| u32::from_str_radix(m.trim(), 8).ok()).unwrap_or(0o077)
}

/// What time services correct little by little, nanoseconds.
const LARGEST_DRIFT: u64 = 1_000_000_000;

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

    /// By how much the wall clock has been set, or was carried on while the machine slept, since this was taken.
    /// Nanoseconds; small corrections count as none.
    pub(super) fn step(self) -> Option<i64> {
        let step = i64::try_from(Self::now().offset - self.offset).unwrap_or(i64::MAX);
        (step.unsigned_abs() > LARGEST_DRIFT).then_some(step)
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
