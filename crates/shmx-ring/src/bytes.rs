//! Copies between shared and private memory, and the two plain views that the protocol proves exclusive.

use crate::load;
use crate::sync::{AtomicU8, AtomicU64, Ordering};

/// Copies the first `dst.len()` bytes out of shared words. Relaxed: the caller validates the stamp afterwards.
///
/// # Panics
///
/// Never; bytes beyond the words stay as they are.
#[inline]
pub fn copy_out(src: &[AtomicU64], dst: &mut [u8]) {
    #[cfg(all(
        target_arch = "x86_64",
        target_feature = "sse2",
        target_pointer_width = "64",
        not(any(loom, miri, shmx_no_asm, shmx_split_loads))
    ))]
    let (src, dst) = blocks::copy_out(src, dst);
    let (chunks, tail) = dst.as_chunks_mut::<8>();
    for (d, s) in chunks.iter_mut().zip(src) {
        *d = load::word(s).to_ne_bytes();
    }
    // Records are padded, so that a payload of ours has no tail.
    if !tail.is_empty()
        && let Some(s) = src.get(chunks.len())
    {
        let last = load::word(s).to_ne_bytes();
        let n = tail.len();
        tail.copy_from_slice(&last[..n]);
    }
}

/// Whole cache lines at a time. The compiler never joins atomic loads of words to wider ones; written out, a copy of
/// 4 KiB or 64 KiB from another processor's cache takes a tenth less.
#[cfg(all(
    target_arch = "x86_64",
    target_feature = "sse2",
    target_pointer_width = "64",
    not(any(loom, miri, shmx_no_asm, shmx_split_loads))
))]
#[allow(unsafe_code)]
mod blocks {
    use crate::sync::AtomicU64;
    use core::arch::asm;

    const WORDS: usize = 8;
    const BYTES: usize = WORDS * size_of::<AtomicU64>();

    /// Copies as many blocks as both sides have and returns what is left of them.
    #[inline]
    pub(super) fn copy_out<'s, 'd>(src: &'s [AtomicU64], dst: &'d mut [u8]) -> (&'s [AtomicU64], &'d mut [u8]) {
        let blocks = (src.len() / WORDS).min(dst.len() / BYTES);
        let (from, src) = src.split_at(blocks * WORDS);
        let (to, dst) = dst.split_at_mut(blocks * BYTES);
        if blocks > 0 {
            // SAFETY: the loop runs `blocks` times, at least once, and each time reads the next 64 bytes of `from` and
            // writes the next 64 of `to`, which have that many. Others may write what is read: to the language these
            // are loads of a foreign function's, and to the processor each aligned word is loaded whole and loads stay
            // in order, as with relaxed loads of the words; what a copy is worth, the stamp says. SSE2 is part of every
            // x86-64, and the registers are declared. It is a compiler barrier, being without `nomem`.
            unsafe {
                asm!(
                    "2:",
                    "movdqu {a}, [{from}]",
                    "movdqu {b}, [{from} + 16]",
                    "movdqu {c}, [{from} + 32]",
                    "movdqu {d}, [{from} + 48]",
                    "movdqu [{to}], {a}",
                    "movdqu [{to} + 16], {b}",
                    "movdqu [{to} + 32], {c}",
                    "movdqu [{to} + 48], {d}",
                    "add {from}, 64",
                    "add {to}, 64",
                    "dec {blocks}",
                    "jnz 2b",
                    from = inout(reg) from.as_ptr() => _,
                    to = inout(reg) to.as_mut_ptr() => _,
                    blocks = inout(reg) blocks => _,
                    a = out(xmm_reg) _,
                    b = out(xmm_reg) _,
                    c = out(xmm_reg) _,
                    d = out(xmm_reg) _,
                    options(nostack),
                );
            }
        }
        (src, dst)
    }
}

/// Copies as many bytes as both have, by stores that go to memory past the caches, where the processor has such. For
/// large data that the caller will not read again.
///
/// They are in memory order when the call returns: a store after it becomes visible after them.
#[inline]
pub fn copy_past_caches(src: &[u8], dst: &mut [u8]) {
    let len = src.len().min(dst.len());
    let (src, dst) = (&src[..len], &mut dst[..len]);
    #[cfg(all(target_arch = "x86_64", not(any(loom, miri, shmx_no_asm))))]
    past_caches::copy(src, dst);
    #[cfg(not(all(target_arch = "x86_64", not(any(loom, miri, shmx_no_asm)))))]
    dst.copy_from_slice(src);
}

#[cfg(all(target_arch = "x86_64", not(any(loom, miri, shmx_no_asm))))]
#[allow(unsafe_code)]
mod past_caches {
    use core::arch::asm;

    const LINE: usize = 64;

    /// Both are of one length.
    pub(super) fn copy(src: &[u8], dst: &mut [u8]) {
        // Half a line stored past the caches is slower than one that goes through them.
        let head = dst.as_ptr().align_offset(LINE).min(dst.len());
        let ((first, src), (begin, dst)) = (src.split_at(head), dst.split_at_mut(head));
        begin.copy_from_slice(first);
        let ((from, last), (to, end)) = (src.as_chunks::<LINE>(), dst.as_chunks_mut::<LINE>());
        end.copy_from_slice(last);
        let count = from.len().min(to.len());
        if count == 0 {
            return;
        }
        // SAFETY: the loop runs `count` times, at least once, and each time reads the next 64 bytes of `from` and stores
        // to the next 64 of `to`, which have that many and are aligned to 64 (`align_offset`; where that gives up, `dst`
        // was empty). SSE2 is part of every x86-64, and the registers are declared. The fence at the end puts the stores
        // before all later ones, as every other store is. It is a compiler barrier, being without `nomem`.
        unsafe {
            asm!(
                "2:",
                "movdqu {a}, [{from}]",
                "movdqu {b}, [{from} + 16]",
                "movdqu {c}, [{from} + 32]",
                "movdqu {d}, [{from} + 48]",
                "movntdq [{to}], {a}",
                "movntdq [{to} + 16], {b}",
                "movntdq [{to} + 32], {c}",
                "movntdq [{to} + 48], {d}",
                "add {from}, 64",
                "add {to}, 64",
                "dec {count}",
                "jnz 2b",
                "sfence",
                from = inout(reg) from.as_ptr() => _,
                to = inout(reg) to.as_mut_ptr() => _,
                count = inout(reg) count => _,
                a = out(xmm_reg) _,
                b = out(xmm_reg) _,
                c = out(xmm_reg) _,
                d = out(xmm_reg) _,
                options(nostack),
            );
        }
    }
}

/// Copies bytes out of shared bytes, as many as the shorter side has. Relaxed.
pub fn load_bytes(src: &[AtomicU8], dst: &mut [u8]) {
    for (d, s) in dst.iter_mut().zip(src) {
        *d = s.load(Ordering::Relaxed);
    }
}

/// Copies bytes into shared bytes, as many as the shorter side has. Relaxed.
pub fn store_bytes(src: &[u8], dst: &[AtomicU8]) {
    for (s, d) in src.iter().zip(dst) {
        d.store(*s, Ordering::Relaxed);
    }
}

#[cfg(not(loom))]
#[allow(unsafe_code)]
mod plain {
    use crate::sync::AtomicU64;

    /// Shared words as plain bytes.
    ///
    /// # Safety
    ///
    /// Nobody may write those bytes while the slice lives: the caller holds a lease on their slot (lib.rs, R2 to R6) and
    /// the frame is published or so much of it announced, or the caller owns the slot and writes none of them.
    #[must_use]
    #[inline]
    pub unsafe fn leased(words: &[AtomicU64], len: usize) -> &[u8] {
        let len = len.min(size_of_val(words));
        // SAFETY: `len` bytes lie within the words, u8 has no alignment or invalid values, and the caller promises
        // that nobody writes them.
        unsafe { core::slice::from_raw_parts(words.as_ptr().cast(), len) }
    }

    /// Shared words as writable plain bytes: `len` of them from byte `from` on, or as many as there are.
    ///
    /// # Safety
    ///
    /// The caller owns the slot (lib.rs, W1 to W5), has announced none of the bytes to followers (`progress`), and
    /// makes no other plain slice of them while this one lives. Readers without a lease may still load the words; they
    /// discard what they got when they see the stamp.
    #[allow(clippy::mut_from_ref)]
    #[must_use]
    #[inline]
    pub unsafe fn claimed(words: &[AtomicU64], from: usize, len: usize) -> &mut [u8] {
        let from = from.min(size_of_val(words));
        let len = len.min(size_of_val(words) - from);
        // SAFETY: `from` lies within the words or right behind them.
        let ptr = unsafe { words.as_ptr().cast_mut().cast::<u8>().add(from) };
        // SAFETY: `len` bytes lie within the words, which are interior-mutable, so writing through the pointer is
        // allowed; the caller promises exclusiveness.
        unsafe { core::slice::from_raw_parts_mut(ptr, len) }
    }
}
#[cfg(not(loom))]
pub use plain::{claimed, leased};

#[cfg(all(test, not(loom)))]
mod tests {
    use super::copy_past_caches;
    use std::vec::Vec;

    #[test]
    fn copies_of_any_length_and_place_are_exact() {
        let src: Vec<u8> = (0..700_u32).map(|i| (i * 7 + 3) as u8).collect();
        for at in 0..70 {
            for len in (0..300).chain([500, 630]) {
                let mut dst = [0xAA; 800];
                copy_past_caches(&src[at % 9..at % 9 + len], &mut dst[at..at + len]);
                assert_eq!(dst[at..at + len], src[at % 9..at % 9 + len], "{len} bytes to {at}");
                assert!(dst[..at].iter().chain(&dst[at + len..]).all(|&b| b == 0xAA), "nothing else is written");
            }
        }
        let mut short = [0; 10];
        copy_past_caches(&src, &mut short);
        assert_eq!(short, src[..10]);
    }
}
