//! Records live regions: one thread takes frames, one writes them, and what lies between is bounded.

mod keep;
mod rest;
mod selection;
mod source;
mod status;
mod take;
mod work;
mod write;

pub use selection::Selection;
pub use status::{Every, Forgotten, RecorderEvent, RecorderOptions, RecorderStatus, RegionStatus};

use crate::error::RecordError;
use crate::writer::{RecordWriter, RegionIndex, Written};
use keep::Keeper;
use selection::Finder;
use shmx::RegionEvents;
use shmx_os::RegionName;
use source::Source;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::sync::mpsc::{self, Receiver};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Instant;
use take::take;
use work::{Ended, Shared, lock};
use write::write;

/// Records regions in the background, until it is stopped.
///
/// Regions need not be there yet, may restart (which begins a new segment), and are not disturbed: the recorder reads
/// through read-only mappings, without reader slots or locks.
#[derive(Debug)]
pub struct Recorder {
    shared: Arc<Shared>,
    taker: Option<JoinHandle<()>>,
    writer: Option<JoinHandle<Result<Finished, RecordError>>>,
    events: Mutex<Receiver<RecorderEvent>>,
}

impl Recorder {
    /// Creates the file and begins to record.
    ///
    /// # Errors
    ///
    /// [`RecordError`]: a bad name, or a file that cannot be created. Regions that are not there are no error.
    pub fn start<S: AsRef<str>>(names: &[S], path: &Path, options: RecorderOptions) -> Result<Self, RecordError> {
        options.selection.check().map_err(|e| RecordError::Options(e.to_string()))?;
        let finder = if options.selection.patterns.is_empty() {
            None
        } else {
            let why =
                |e| RecordError::Options(format!("regions cannot be found by patterns here ({e}); give their names"));
            let selection = options.selection.clone();
            let events = RegionEvents::matching(move |name| selection.has(name)).map_err(why)?;
            Some(Finder::new(events, Instant::now()))
        };
        if names.is_empty() && finder.is_none() {
            return Err(RecordError::Options("no region to record; give at least one name".into()));
        }
        let mut seen = Vec::new();
        for name in names {
            let name = RegionName::new(name.as_ref())?.as_str().to_owned();
            if seen.contains(&name) {
                return Err(RecordError::Options(format!("region `{name}` is given twice")));
            }
            seen.push(name);
        }
        let keeper = match options.snapshot {
            Some(span) => Some(Keeper::new(path, options.writer.clone(), span, options.backlog_bytes, &seen)?),
            None => None,
        };
        let mut writer = match keeper {
            Some(_) => None,
            None => Some(RecordWriter::create(path, options.writer.clone())?),
        };
        let shared = Arc::new(Shared::default());
        lock(&shared.regions).each =
            seen.iter().map(|n| RegionStatus { region: n.clone(), ..RegionStatus::default() }).collect();
        let (back, free) = mpsc::channel();
        let sources: Vec<Source> = seen.iter().map(|name| Source::new(name)).collect();
        let indices: Vec<RegionIndex> =
            writer.as_mut().map_or_else(Vec::new, |writer| seen.iter().map(|_| writer.add_region()).collect());
        // Frames are bounded by their memory; this bounds the rest.
        let (work, todo) = mpsc::sync_channel(4096);
        let (tell, events) = mpsc::sync_channel(MOST_EVENTS);
        let names = seen;
        let s = shared.clone();
        let tell_writer = tell.clone();
        let flush_after = options.writer.flush_after;
        let writer = spawn("shmx-record-write", move || {
            let _ended = Ended(&s);
            match (writer, keeper) {
                (Some(writer), _) => write(writer, indices, names, &todo, &back, &s, &tell_writer, flush_after),
                (None, Some(keeper)) => keeper.run(&todo, &back, &s, &tell_writer),
                (None, None) => Err(RecordError::Thread),
            }
        })?;
        let s = shared.clone();
        let taker = spawn("shmx-record-take", move || take(sources, finder, &options, &work, &free, &s, &tell))?;
        Ok(Self { shared, taker: Some(taker), writer: Some(writer), events: Mutex::new(events) })
    }

    /// The recorder as it is now.
    #[must_use]
    pub fn status(&self) -> RecorderStatus {
        let s = &self.shared;
        let (regions, forgotten) = {
            let regions = lock(&s.regions);
            (regions.each.clone(), regions.forgotten)
        };
        RecorderStatus {
            regions,
            forgotten,
            backlog_frames: s.backlog_frames.load(Ordering::Relaxed),
            backlog_bytes: s.backlog_bytes.load(Ordering::Relaxed),
            memory_bytes: s.most_bytes.load(Ordering::Relaxed),
            sleeps: s.sleeps.load(Ordering::Relaxed),
            looks: s.looks.load(Ordering::Relaxed),
            written: *lock(&s.written),
            ended: s.ended.load(Ordering::Acquire),
        }
    }

    /// The next event that was not asked for yet, without waiting. About a thousand are kept; further ones are lost.
    #[must_use]
    pub fn next_event(&self) -> Option<RecorderEvent> {
        lock(&self.events).try_recv().ok()
    }

    /// Asks for the frames that are kept ([`RecorderOptions::snapshot`]) to be written into a file of their own, with
    /// what is in the rings now. An event says when that is done ([`RecorderEvent::Snapshot`]) or has failed
    /// ([`RecorderEvent::SnapshotFailed`]). A recorder that writes everything anyway does nothing.
    pub fn snapshot(&self) {
        // Release: what the caller did before belongs to the snapshot.
        self.shared.snapshot.store(true, Ordering::Release);
    }

    /// Asks the recorder to take what is in the rings now and end. [`Recorder::finish`] waits for it.
    pub fn stop(&self) {
        self.shared.stop.store(true, Ordering::Release);
    }

    /// Stops, waits until everything is written, and says what was.
    ///
    /// # Errors
    ///
    /// [`RecordError`]; what was written before is kept.
    pub fn finish(self) -> Result<Written, RecordError> {
        self.finish_files().map(|(written, _)| written)
    }

    /// The same, and which files there are of it, in order; those that were removed meanwhile are not among them.
    ///
    /// # Errors
    ///
    /// As [`Recorder::finish`].
    pub fn finish_files(mut self) -> Result<(Written, Vec<PathBuf>), RecordError> {
        self.join()
    }

    fn join(&mut self) -> Result<Finished, RecordError> {
        self.stop();
        let taker = self.taker.take().is_none_or(|t| t.join().is_ok());
        let written =
            self.writer.take().map_or(Err(RecordError::Thread), |w| w.join().unwrap_or(Err(RecordError::Thread)));
        if taker { written } else { written.and(Err(RecordError::Thread)) }
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        if self.writer.is_some() {
            let _ = self.join();
        }
    }
}

/// Events that wait to be asked for, at most.
const MOST_EVENTS: usize = 1024;

/// What was written, and the files that it is in.
type Finished = (Written, Vec<PathBuf>);

fn spawn<T: Send + 'static>(name: &str, f: impl FnOnce() -> T + Send + 'static) -> Result<JoinHandle<T>, RecordError> {
    std::thread::Builder::new().name(name.into()).spawn(f).map_err(|_| RecordError::Thread)
}
