//! Loads of 64-bit words that also suit mappings which may only be read.
//!
//! Of memory that is mapped read-only the language guarantees relaxed loads, no wider than a pointer (the table under
//! *Atomic accesses to read-only memory* in the documentation of `core::sync::atomic`): a processor without wide loads
//! makes them of instructions that store. So where pointers have 32 bits a word is loaded in halves, and what the two
//! halves are worth together depends on the word:
//!
//! | word | function | why the result is right |
//! |---|---|---|
//! | payload, lease bits | [`word`] | a payload's halves are of one moment if the stamp holds; bits stand for themselves |
//! | counters, clocks, ids, stamps | [`count`] | high, low, high again: a high half that has not moved stood at the low's moment |
//!
//! A mapping that may be written is read by the same functions, so that there is one way to read each field. There
//! another thread of this process may store the word whole through the same mapping (a server that publishes while it
//! looks at its own header), and the language does not define accesses of two widths. On the processors concerned each
//! half is an aligned load of its own, which finds the old or the new half, and nothing lets a compiler join or drop it.
//!
//! `--cfg shmx_split_loads` loads in halves everywhere, for tests.
//!
//! ```
//! use shmx_ring::load;
//! use shmx_ring::sync::AtomicU64;
//!
//! let published = AtomicU64::new(1 << 32);
//! assert_eq!((load::count(&published), load::word(&published)), (1 << 32, 1 << 32));
//! ```

use crate::sync::AtomicU64;

/// The word, relaxed; where pointers have 32 bits its halves may be of two moments.
///
/// For words that are checked otherwise, or whose bits have nothing to do with each other.
#[inline]
#[must_use]
pub fn word(cell: &AtomicU64) -> u64 {
    imp::word(cell)
}

/// A value that the word held, relaxed.
///
/// Where pointers have 32 bits that takes a high half that does not come back to an earlier value while it is loaded
/// (counters, clocks, ids), or a later check (stamps; see [`reader::validate`](crate::reader::validate)).
#[inline]
#[must_use]
pub fn count(cell: &AtomicU64) -> u64 {
    imp::count(cell)
}

#[cfg(any(loom, all(target_pointer_width = "64", not(shmx_split_loads))))]
mod imp {
    use crate::sync::{AtomicU64, Ordering};

    #[inline]
    pub(super) fn word(cell: &AtomicU64) -> u64 {
        cell.load(Ordering::Relaxed)
    }

    #[inline]
    pub(super) fn count(cell: &AtomicU64) -> u64 {
        cell.load(Ordering::Relaxed)
    }
}

#[cfg(not(any(loom, all(target_pointer_width = "64", not(shmx_split_loads)))))]
#[allow(unsafe_code)]
mod imp {
    use super::{counted, join};
    use crate::sync::{AtomicU32, AtomicU64, Ordering};

    const HIGH: usize = if cfg!(target_endian = "little") { 1 } else { 0 };
    const LOW: usize = 1 - HIGH;

    #[inline]
    fn halves(cell: &AtomicU64) -> &[AtomicU32; 2] {
        // SAFETY: the same eight bytes, with no more alignment, for the life of the borrow; both types are
        // interior-mutable and valid for all bits. The halves are only loaded from; for stores to the word meanwhile
        // see the head of this file.
        unsafe { &*core::ptr::from_ref(cell).cast::<[AtomicU32; 2]>() }
    }

    #[inline]
    pub(super) fn word(cell: &AtomicU64) -> u64 {
        let halves = halves(cell);
        join(halves[HIGH].load(Ordering::Relaxed), halves[LOW].load(Ordering::Relaxed))
    }

    #[inline]
    pub(super) fn count(cell: &AtomicU64) -> u64 {
        let halves = halves(cell);
        counted(|| halves[HIGH].load(Ordering::Relaxed), || halves[LOW].load(Ordering::Relaxed))
    }
}

#[cfg(any(test, not(any(loom, all(target_pointer_width = "64", not(shmx_split_loads))))))]
#[inline]
fn join(high: u32, low: u32) -> u64 {
    u64::from(high) << 32 | u64::from(low)
}

/// Attempts at a high half that stands still. A counter's moves once in four thousand million steps, so the second
/// attempt succeeds. Only who breaks the rules can move it at each of these; any value is as good then.
#[cfg(any(test, not(any(loom, all(target_pointer_width = "64", not(shmx_split_loads))))))]
const ATTEMPTS: u32 = 8;

/// High, low, high again, until the high half is the same.
#[cfg(any(test, not(any(loom, all(target_pointer_width = "64", not(shmx_split_loads))))))]
#[inline]
fn counted(high: impl Fn() -> u32, low: impl Fn() -> u32) -> u64 {
    use crate::sync::{Ordering, fence};
    let (mut above, mut below) = (high(), 0);
    for _ in 0..ATTEMPTS {
        // Acquire, both: relaxed loads of different places may change places, the fences keep them apart.
        fence(Ordering::Acquire);
        below = low();
        fence(Ordering::Acquire);
        let again = high();
        if again == above {
            break;
        }
        above = again;
    }
    join(above, below)
}

#[cfg(test)]
mod tests {
    use super::{ATTEMPTS, count, counted, join, word};
    use crate::sync::{AtomicU64, Ordering};
    use std::cell::Cell;

    #[test]
    fn a_word_is_what_was_stored() {
        for value in [0, 1, u64::from(u32::MAX), 1 << 32, 0x0123_4567_89AB_CDEF, u64::MAX] {
            let cell = AtomicU64::new(value);
            assert_eq!((word(&cell), count(&cell)), (value, value));
            assert_eq!(join((value >> 32) as u32, value as u32), value);
        }
    }

    /// A counter that steps over the carry at each moment between two loads.
    #[test]
    fn a_carry_at_any_moment_gives_a_value_that_was_stored() {
        for stored in 0..6 {
            let (value, loads) = (Cell::new(0xFFFF_FFFF_u64), Cell::new(0));
            let step = |half: fn(u64) -> u32| {
                if loads.get() == stored {
                    value.set(value.get() + 1);
                }
                loads.set(loads.get() + 1);
                half(value.get())
            };
            let got = counted(|| step(|v| (v >> 32) as u32), || step(|v| v as u32));
            assert!(got == 0xFFFF_FFFF || got == 0x1_0000_0000, "{got:#x} with a store before load {stored}");
        }
    }

    #[test]
    fn a_high_half_that_never_stands_still_ends() {
        let loads = Cell::new(0);
        let high = || {
            loads.set(loads.get() + 1);
            loads.get()
        };
        let _ = counted(high, || 7);
        assert_eq!(loads.get(), ATTEMPTS + 1);
    }

    /// The high half moves once in a thousand stores: seldom enough that no load meets eight moves in a row.
    #[test]
    fn a_counter_in_another_thread_is_seen_whole() {
        const LOW: u64 = 1000;
        let mark = |high: u64| (high.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 48) << 16;
        let cell = AtomicU64::new(0);
        let done = core::sync::atomic::AtomicBool::new(false);
        std::thread::scope(|s| {
            s.spawn(|| {
                (LOW..).take_while(|_| !done.load(Ordering::Relaxed)).for_each(|n: u64| {
                    let high = n / LOW;
                    cell.store(high << 32 | mark(high) | (n % LOW), Ordering::Relaxed);
                });
            });
            let wrong = (0..100_000).map(|_| count(&cell)).find(|v| v & 0xFFFF_0000 != mark(v >> 32));
            done.store(true, Ordering::Relaxed);
            assert_eq!(wrong, None);
        });
    }
}
