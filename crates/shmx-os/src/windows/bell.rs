//! Sleeping on a word of a mapping, with the meaning of a futex, by named events.
//!
//! The event that belongs to a word's *value* carries the value in its name:
//! `shmx-bell-<object id>-<offset of the word>-<value>`, in the namespace of the object's name. It is made by whoever
//! goes to sleep and lives as long as somebody sleeps; it is set once, by whoever has changed the word away from that
//! value, and never reset, since that value is over.
//!
//! No wake-up is lost. A sleeper makes the event, then looks at the word, and sleeps only if the word still has the
//! value. A waker changes the word, then opens the event. If the sleeper saw the old value, its event was there before
//! the word was changed, so the waker finds and sets it; a set event stays set for those that come to wait late. And
//! nobody can take another's wake-up, as setting a manual-reset event uses nothing up.

use std::os::windows::io::{AsRawHandle, OwnedHandle};
use std::ptr;
use std::sync::atomic::{AtomicU32, Ordering, fence};
use std::time::Duration;

use windows_sys::Win32::Foundation::{WAIT_OBJECT_0, WAIT_TIMEOUT};
use windows_sys::Win32::System::Threading::{
    CreateEventW, EVENT_MODIFY_STATE, INFINITE, OpenEventW, SetEvent, WaitForSingleObject,
};

use super::handle::{own, wide};
use super::view::View;
use crate::name::RegionName;
use crate::wake::{Wake, poll};

pub(crate) const fn can_wait() -> bool {
    true
}

/// The event's name; `None` for objects of other programs and for words outside the mapping.
pub(super) fn name(view: &View, region: &RegionName, word: &AtomicU32, value: u32) -> Option<Vec<u16>> {
    let id = view.tail()?.id;
    let offset = ptr::from_ref(word).addr().checked_sub(view.mapping.base.addr().get())?;
    if offset >= view.len {
        return None;
    }
    Some(wide(&format!("{}shmx-bell-{id:016x}-{offset:x}-{value:08x}", region.namespace())))
}

/// Sleeps while the word holds the value; where it has no event, for one polling interval.
pub(super) fn sleep(view: &View, region: &RegionName, word: &AtomicU32, expected: u32, timeout: Duration) -> Wake {
    match name(view, region, word, expected) {
        Some(event) => wait(&event, word, expected, timeout),
        None => poll(word, expected, timeout),
    }
}

/// The event of this name, made if it is not there. `None` if the system refuses.
pub(super) fn event(name: &[u16]) -> Option<OwnedHandle> {
    // SAFETY: null attributes mean the default security and no inheritance; the name ends with a NUL and outlives the
    // call. Manual reset, not set.
    let handle = unsafe { CreateEventW(ptr::null(), 1, 0, name.as_ptr()) };
    // SAFETY: null or just opened.
    unsafe { own(handle) }
}

fn wait(name: &[u16], word: &AtomicU32, expected: u32, timeout: Duration) -> Wake {
    let Some(handle) = event(name) else {
        return poll(word, expected, timeout);
    };
    // The event was made before this load; pairs with `ring`. (Entering the kernel orders the two anyway.)
    fence(Ordering::SeqCst);
    if word.load(Ordering::Relaxed) != expected {
        return Wake::ValueChanged;
    }
    // Rounded up: 0 would not sleep. The longest is 49 days.
    let millis = u32::try_from(timeout.as_nanos().div_ceil(1_000_000)).unwrap_or(INFINITE).min(INFINITE - 1);
    // SAFETY: the handle is open and has every right, or was opened with them.
    match unsafe { WaitForSingleObject(handle.as_raw_handle(), millis) } {
        WAIT_OBJECT_0 => Wake::Woken,
        WAIT_TIMEOUT => Wake::TimedOut,
        _ => poll(word, expected, timeout),
    }
}

/// Wakes all who sleep on the event. Without one nobody sleeps.
pub(super) fn ring(event: &[u16]) {
    // The word was changed before the event is opened; pairs with `wait`.
    fence(Ordering::SeqCst);
    // SAFETY: the name ends with a NUL and outlives the call.
    let handle = unsafe { OpenEventW(EVENT_MODIFY_STATE, 0, event.as_ptr()) };
    // SAFETY: null or just opened.
    if let Some(handle) = unsafe { own(handle) } {
        // SAFETY: the handle is open and has the right to set.
        unsafe { SetEvent(handle.as_raw_handle()) };
    }
}
