//! Sleeping on many words: an event for each, as [`super::bell`] has them, up to what the system waits for at once.

use std::io;
use std::os::windows::io::{AsRawHandle, OwnedHandle};
use std::ptr;
use std::sync::Arc;
use std::sync::atomic::{Ordering, fence};
use std::time::{Duration, Instant};

use windows_sys::Win32::Foundation::{HANDLE, WAIT_FAILED, WAIT_OBJECT_0};
use windows_sys::Win32::System::Threading::{CreateEventW, INFINITE, SetEvent, WaitForMultipleObjects};

use super::bell;
use super::handle::own;
use crate::error::OsError;
use crate::many_wake::{ManyWake, changed};
use crate::wait_word::{WaitSource, WaitWord};

/// Most words at once: the system takes 64 objects, of which one is for interruptions.
const MOST: usize = 63;
/// Between two looks where the words have no events.
const POLL: Duration = Duration::from_millis(1);

pub(crate) struct WaitMany {
    interrupter: Interrupter,
}

/// An event that a wait which it ends resets.
#[derive(Clone)]
pub(crate) struct Interrupter(Arc<OwnedHandle>);

impl Interrupter {
    pub(crate) fn interrupt(&self) {
        // SAFETY: the handle is open and has every right.
        unsafe { SetEvent(self.0.as_raw_handle()) };
    }
}

impl WaitMany {
    pub(crate) fn new() -> Result<Self, OsError> {
        // SAFETY: null attributes mean the default security and no inheritance; no name. Automatic reset, not set.
        let event = unsafe { CreateEventW(ptr::null(), 0, 0, ptr::null()) };
        let error = io::Error::last_os_error();
        // SAFETY: null or just opened.
        let event = unsafe { own(event) }.ok_or_else(|| OsError::os("make an event", error))?;
        Ok(Self { interrupter: Interrupter(Arc::new(event)) })
    }

    pub(crate) fn interrupter(&self) -> Interrupter {
        self.interrupter.clone()
    }

    pub(crate) fn sleeps(&mut self, count: usize) -> bool {
        count <= MOST
    }

    pub(crate) fn wait(&mut self, entries: &[(Arc<dyn WaitWord>, u32)], timeout: Duration) -> ManyWake {
        // None: never.
        let end = Instant::now().checked_add(timeout);
        // Each word's own event was there before the look at it; see `bell`.
        let events: Option<Vec<OwnedHandle>> =
            (entries.len() <= MOST).then(|| entries.iter().map(event).collect()).flatten();
        let longest = if events.is_some() { Duration::MAX } else { POLL };
        let mut handles = vec![self.interrupter.0.as_raw_handle()];
        handles.extend(events.iter().flatten().map(AsRawHandle::as_raw_handle));
        // Pairs with `bell::ring`.
        fence(Ordering::SeqCst);
        loop {
            // Before the look, so that an interruption is told even if a word has changed.
            if signalled(&handles[..1], Duration::ZERO).is_some() {
                return ManyWake::Interrupted;
            }
            if let Some(index) = changed(entries) {
                return ManyWake::Ready(index);
            }
            let left = end.map_or(Duration::MAX, |end| end.saturating_duration_since(Instant::now()));
            if left.is_zero() {
                return ManyWake::TimedOut;
            }
            match signalled(&handles, left.min(longest)) {
                Some(0) => return ManyWake::Interrupted,
                Some(index) => return ManyWake::Ready(index - 1),
                None => {}
            }
        }
    }
}

/// The event of an entry; `None` for words outside the regions of this crate.
fn event((word, expected): &(Arc<dyn WaitWord>, u32)) -> Option<OwnedHandle> {
    let word_at = word.word();
    let name = match word.source() {
        WaitSource::Region(region) => bell::name(&region.sys().object.view, region.name(), word_at, *expected),
        WaitSource::ReadOnly(region) => {
            let (name, object) = region.sys()?;
            bell::name(&object.view, name, word_at, *expected)
        }
        WaitSource::Unknown => None,
    };
    bell::event(&name?)
}

/// The index of the first of the handles that is signalled within the time.
fn signalled(handles: &[HANDLE], time: Duration) -> Option<usize> {
    // Rounded up. The longest is 49 days; the caller looks at its clock.
    let millis = u32::try_from(time.as_nanos().div_ceil(1_000_000)).unwrap_or(INFINITE).min(INFINITE - 1);
    // SAFETY: at most 64 open handles with the right to wait. Any of them will do.
    let code = unsafe { WaitForMultipleObjects(handles.len() as u32, handles.as_ptr(), 0, millis) };
    let index = code.checked_sub(WAIT_OBJECT_0)? as usize;
    if index < handles.len() {
        return Some(index);
    }
    if code == WAIT_FAILED {
        // Not known to happen; it must not spin.
        std::thread::sleep(time.min(POLL));
    }
    None
}
