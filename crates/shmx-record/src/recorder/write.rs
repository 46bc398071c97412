//! The thread that writes what was taken.

use super::status::RecorderEvent;
use super::work::{Shared, Work, lock};
use crate::error::RecordError;
use crate::writer::{RecordWriter, RegionIndex, Written};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::time::Duration;

/// The writing thread.
#[expect(clippy::too_many_arguments, reason = "a thread's whole world")]
pub(super) fn write(
    mut writer: RecordWriter,
    indices: &[RegionIndex],
    names: &[String],
    todo: &Receiver<Work>,
    back: &mpsc::Sender<usize>,
    shared: &Shared,
    tell: &mpsc::Sender<RecorderEvent>,
    flush_after: Duration,
) -> Result<Written, RecordError> {
    let mut segments = vec![0; names.len()];
    loop {
        match todo.recv_timeout(flush_after) {
            Ok(Work::Begin { region, segment, directory, mode }) => {
                writer.restrict(mode.unwrap_or(0o600))?;
                segments[region] = writer.begin(indices[region], segment, &directory)?;
            }
            Ok(Work::Directory { region, bytes }) => writer.directory(indices[region], &bytes)?,
            Ok(Work::Frame { region, frame, taken_ticks }) => {
                let len = frame.payload().len() as u64;
                let result = writer.frame(indices[region], &frame, taken_ticks);
                // Its buffer goes back to the tap first.
                drop(frame);
                shared.written(len);
                let _ = back.send(region);
                result?;
            }
            Ok(Work::End { region, reason, missed, rejected }) => {
                let counts = writer.end(indices[region], reason, missed, rejected)?;
                let (region, segment) = (names[region].clone(), segments[region]);
                let _ = tell.send(RecorderEvent::End { region, segment, reason, counts });
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => break,
        }
        writer.tick()?;
        if let Some(step_ns) = writer.clock_step() {
            let _ = tell.send(RecorderEvent::ClockSet { step_ns });
        }
        *lock(&shared.written) = writer.written();
    }
    let written = writer.finish()?;
    *lock(&shared.written) = written;
    Ok(written)
}
