//! Asking for cache lines before they are needed.
//!
//! Nothing here changes what anybody can observe but time.

use crate::view::Slot;
#[cfg(target_arch = "x86_64")]
use core::arch::asm;
#[cfg(target_arch = "x86_64")]
use core::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};

#[cfg(target_arch = "x86_64")]
const LINE: u32 = 64;
/// Longest payload that is asked for whole. One line after the other comes over only as fast as the reader asks; up to
/// here asking ahead is faster than the processor's own prefetcher (4 KiB by a quarter, 16 KiB by a tenth, measured
/// between two cores), and from 64 KiB on there is nothing to gain.
#[cfg(target_arch = "x86_64")]
const WHOLE: u32 = 16 * 1024;
/// Lines that are asked for of a longer one.
#[cfg(target_arch = "x86_64")]
const START: u32 = 3;

/// The slot will be read: its header and the start of a payload of about `len` bytes come over side by side instead of
/// one after the other.
#[inline]
pub fn will_read(slot: Slot<'_>, len: u32) {
    ask::<false, false>(slot, len);
}

/// The slot will be leased and read: its header, which the lease writes to, comes over once instead of twice.
#[inline]
pub fn will_lease(slot: Slot<'_>, len: u32) {
    ask::<true, false>(slot, len);
}

/// The slot will be written, with about `len` bytes: its lines come over from the readers before the frame is there to
/// wait for them.
#[inline]
pub fn will_write(slot: Slot<'_>, len: u32) {
    ask::<true, true>(slot, len);
}

/// Asks for the header and the payload, each for writing or for reading.
#[cfg(target_arch = "x86_64")]
#[inline]
fn ask<const WRITE_HEAD: bool, const WRITE: bool>(slot: Slot<'_>, len: u32) {
    line::<WRITE_HEAD>(core::ptr::from_ref(slot.head).cast());
    let count = if len <= WHOLE + LINE { len.div_ceil(LINE) } else { START };
    for word in slot.payload.iter().step_by(LINE as usize / size_of::<u64>()).take(count as usize) {
        line::<WRITE>(core::ptr::from_ref(word).cast());
    }
}

#[cfg(not(target_arch = "x86_64"))]
#[inline]
const fn ask<const WRITE_HEAD: bool, const WRITE: bool>(_slot: Slot<'_>, _len: u32) {}

#[cfg(target_arch = "x86_64")]
#[allow(unsafe_code)]
#[inline]
fn line<const WRITE: bool>(address: *const i8) {
    if WRITE {
        // SAFETY: a prefetch changes no register and nothing in memory, and faults on no address. PREFETCHW is part of
        // every x86-64 processor, if only as an instruction without effect on the first ones of Intel. Written out,
        // because the compiler's intrinsic for it becomes a prefetch for reading on the baseline target.
        unsafe { asm!("prefetchw [{}]", in(reg) address, options(readonly, nostack, preserves_flags)) }
    } else {
        // SAFETY: as above; SSE, which the intrinsic needs, is part of every x86-64.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(address) }
    }
}
