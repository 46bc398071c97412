//! The thread that writes what was taken.

use super::status::RecorderEvent;
use super::work::{Shared, Work, lock};
use crate::error::RecordError;
use crate::writer::{RecordWriter, RegionIndex, Written};
use std::path::PathBuf;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, SyncSender};
use std::time::Duration;

/// The writing thread.
#[expect(clippy::too_many_arguments, reason = "a thread's whole world")]
pub(super) fn write(
    mut writer: RecordWriter,
    mut indices: Vec<RegionIndex>,
    mut names: Vec<String>,
    todo: &Receiver<Work>,
    back: &mpsc::Sender<usize>,
    shared: &Shared,
    tell: &SyncSender<RecorderEvent>,
    flush_after: Duration,
) -> Result<(Written, Vec<PathBuf>), RecordError> {
    let mut segments = vec![0; names.len()];
    let mut handle = |work: Option<Work>| -> Result<(), RecordError> {
        match work {
            Some(Work::Add(name)) => {
                indices.push(writer.add_region());
                names.push(name);
                segments.push(0);
            }
            Some(Work::Rename { region, name }) => {
                writer.renew(indices[region])?;
                (names[region], segments[region]) = (name, 0);
            }
            Some(Work::Begin { region, segment, directory, mode }) => {
                writer.restrict(mode.unwrap_or(0o600))?;
                segments[region] = writer.begin(indices[region], segment, &directory)?;
            }
            Some(Work::Directory { region, bytes }) => writer.directory(indices[region], &bytes)?,
            Some(Work::Frame { region, frame, taken_ticks }) => {
                let len = frame.payload().len() as u64;
                let result = writer.frame(indices[region], &frame, taken_ticks);
                // Its buffer goes back to the tap first.
                drop(frame);
                shared.written(len);
                let _ = back.send(region);
                result?;
            }
            Some(Work::End { region, reason, missed, rejected }) => {
                let counts = writer.end(indices[region], reason, missed, rejected)?;
                let (region, segment) = (names[region].clone(), segments[region]);
                let _ = tell.try_send(RecorderEvent::End { region, segment, reason, counts });
            }
            Some(Work::Control { region, seen, lost }) => writer.control(indices[region], &seen, lost)?,
            // Everything is written anyway.
            Some(Work::Snapshot) | None => {}
        }
        writer.tick()?;
        if let Some(step_ns) = writer.clock_step() {
            let _ = tell.try_send(RecorderEvent::ClockSet { step_ns });
        }
        *lock(&shared.written) = writer.written();
        Ok(())
    };
    let result = loop {
        let work = match todo.recv_timeout(flush_after) {
            Ok(work) => Some(work),
            Err(RecvTimeoutError::Timeout) => None,
            Err(RecvTimeoutError::Disconnected) => break Ok(()),
        };
        match handle(work) {
            Ok(()) => {}
            Err(e) => break Err(e),
        }
    };
    // There is room enough for the end.
    if !matches!(result, Ok(()) | Err(RecordError::Room { .. })) {
        return result.map(|()| (Written::default(), Vec::new()));
    }
    let (written, files) = writer.finish_files()?;
    *lock(&shared.written) = written;
    result.map(|()| (written, files))
}
