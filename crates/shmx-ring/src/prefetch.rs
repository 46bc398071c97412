//! Asking for cache lines before they are needed.
//!
//! Nothing here changes what anybody can observe but time.

use crate::view::Slot;
#[cfg(target_arch = "x86_64")]
use core::arch::x86_64::{_MM_HINT_ET0, _MM_HINT_T0, _mm_prefetch};

/// Lines of a slot's payload that are asked for. More would push out what the caller works with, and the processor's
/// own prefetcher follows long payloads.
#[cfg(target_arch = "x86_64")]
const PAYLOAD_LINES: usize = 3;

/// The slot will be read: its header and the start of its payload come over together instead of one after the other.
#[inline]
pub fn will_read(slot: Slot<'_>) {
    #[cfg(target_arch = "x86_64")]
    lines::<_MM_HINT_T0>(slot);
    #[cfg(not(target_arch = "x86_64"))]
    let _ = slot;
}

/// The slot will be written: its lines come over from the readers before the frame is there to wait for them.
#[inline]
pub fn will_write(slot: Slot<'_>) {
    #[cfg(target_arch = "x86_64")]
    lines::<_MM_HINT_ET0>(slot);
    #[cfg(not(target_arch = "x86_64"))]
    let _ = slot;
}

/// A word will be written.
#[inline]
pub fn will_store<T>(word: &T) {
    #[cfg(target_arch = "x86_64")]
    line::<_MM_HINT_ET0>(core::ptr::from_ref(word).cast());
    #[cfg(not(target_arch = "x86_64"))]
    let _ = word;
}

#[cfg(target_arch = "x86_64")]
#[inline]
fn lines<const HINT: i32>(slot: Slot<'_>) {
    line::<HINT>(core::ptr::from_ref(slot.head).cast());
    for word in slot.payload.iter().step_by(8).take(PAYLOAD_LINES) {
        line::<HINT>(core::ptr::from_ref(word).cast());
    }
}

#[cfg(target_arch = "x86_64")]
#[allow(unsafe_code)]
#[inline]
fn line<const HINT: i32>(address: *const i8) {
    // SAFETY: a prefetch reads and writes nothing as far as the language is concerned, and faults on no address; SSE,
    // which the intrinsic needs, is part of every x86-64.
    unsafe { _mm_prefetch::<HINT>(address) }
}
