//! Many words of platforms that cannot sleep on several at once: looked at again and again.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use crate::error::OsError;
use crate::many_wake::{ManyWake, changed};
use crate::wait_word::WaitWord;

/// Between two looks.
const INTERVAL: Duration = Duration::from_millis(1);

pub(crate) struct WaitMany {
    interrupter: Interrupter,
    seen: u32,
}

/// Counts interruptions.
#[derive(Clone, Default)]
pub(crate) struct Interrupter(Arc<AtomicU32>);

impl Interrupter {
    pub(crate) fn interrupt(&self) {
        // Release: what was done before is seen by the thread whose wait ends.
        self.0.fetch_add(1, Ordering::Release);
    }
}

impl WaitMany {
    pub(crate) fn new() -> Result<Self, OsError> {
        Ok(Self { interrupter: Interrupter::default(), seen: 0 })
    }

    pub(crate) fn interrupter(&self) -> Interrupter {
        self.interrupter.clone()
    }

    pub(crate) fn sleeps(&mut self, _count: usize) -> bool {
        false
    }

    pub(crate) fn wait(&mut self, entries: &[(Arc<dyn WaitWord>, u32)], timeout: Duration) -> ManyWake {
        // None: never.
        let end = Instant::now().checked_add(timeout);
        loop {
            let count = self.interrupter.0.load(Ordering::Acquire);
            if std::mem::replace(&mut self.seen, count) != count {
                return ManyWake::Interrupted;
            }
            if let Some(index) = changed(entries) {
                return ManyWake::Ready(index);
            }
            let left = end.map_or(INTERVAL, |end| end.saturating_duration_since(Instant::now()));
            if left.is_zero() {
                return ManyWake::TimedOut;
            }
            std::thread::sleep(left.min(INTERVAL));
        }
    }
}
