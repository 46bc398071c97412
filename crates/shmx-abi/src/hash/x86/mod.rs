//! Vector kernels for x86-64, and which of them the machine can run.
#![allow(unsafe_code)]
// Loops over words and planes go through several arrays at a time.
#![allow(clippy::needless_range_loop)]

mod avx2;
mod avx512;
mod padded;
mod powers;
mod short;
mod vector;
mod weights;

use super::kernel::Kernel;
use super::scalar;
use core::arch::x86_64::{__cpuid, __cpuid_count, _xgetbv};
use core::sync::atomic::{AtomicU8, Ordering};

/// Bits of [`SUPPORTED`], one per vector kernel; [`KNOWN`] says that the others are filled in.
const KNOWN: u8 = 1;
const AVX2: u8 = 2;
const AVX2_GFNI: u8 = 4;
const AVX512: u8 = 8;

/// What the machine can run. Relaxed is enough: every thread that finds 0 computes the same value for itself.
static SUPPORTED: AtomicU8 = AtomicU8::new(0);

#[inline]
fn supported() -> u8 {
    match SUPPORTED.load(Ordering::Relaxed) {
        0 => detect_and_keep(),
        bits => bits,
    }
}

#[cold]
fn detect_and_keep() -> u8 {
    let bits = detect() | KNOWN;
    SUPPORTED.store(bits, Ordering::Relaxed);
    bits
}

const fn bit(kernel: Kernel) -> u8 {
    match kernel {
        Kernel::Scalar => KNOWN,
        Kernel::Avx2 => AVX2,
        Kernel::Avx2Gfni => AVX2_GFNI,
        Kernel::Avx512 => AVX512,
    }
}

/// Whether the machine can run a kernel.
pub(super) fn is_supported(kernel: Kernel) -> bool {
    supported() & bit(kernel) != 0
}

/// The fastest kernel that the machine can run.
#[inline]
pub(super) fn best() -> Kernel {
    let bits = supported();
    if bits & AVX512 != 0 {
        Kernel::Avx512
    } else if bits & AVX2_GFNI != 0 {
        Kernel::Avx2Gfni
    } else if bits & AVX2 != 0 {
        Kernel::Avx2
    } else {
        Kernel::Scalar
    }
}

/// Asks the processor what it has, and the operating system which registers it saves.
fn detect() -> u8 {
    const fn has(word: u32, bits: &[u32]) -> bool {
        let mut i = 0;
        while i < bits.len() {
            if word >> bits[i] & 1 == 0 {
                return false;
            }
            i += 1;
        }
        true
    }
    if __cpuid(0).eax < 7 {
        return 0;
    }
    let (one, seven) = (__cpuid(1), __cpuid_count(7, 0));
    // OSXSAVE and AVX.
    if !has(one.ecx, &[27, 28]) {
        return 0;
    }
    // SAFETY: OSXSAVE says that the instruction exists and that the operating system has enabled it.
    let saved = unsafe { _xgetbv(0) };
    let mut bits = 0;
    // The operating system saves XMM and YMM; the processor has AVX2.
    if saved & 0x06 == 0x06 && has(seven.ebx, &[5]) {
        bits |= AVX2;
        // GFNI and VPCLMULQDQ.
        if has(seven.ecx, &[8, 10]) {
            // AVX-VNNI, on a page that does not exist before the first page counts it.
            if seven.eax >= 1 && has(__cpuid_count(7, 1).eax, &[4]) {
                bits |= AVX2_GFNI;
            }
            // Also the mask registers and ZMM; AVX512F, DQ, BW, VL, VBMI and VNNI.
            if saved & 0xE6 == 0xE6 && has(seven.ebx, &[16, 17, 30, 31]) && has(seven.ecx, &[1, 11]) {
                bits |= AVX512;
            }
        }
    }
    bits
}

/// Hashes fewer than 256 bytes.
#[inline]
pub(super) fn short(state: u64, bytes: &[u8]) -> u64 {
    if bytes.len() >= avx512::TINY && is_supported(Kernel::Avx512) {
        // SAFETY: the machine supports the kernel, so it has every feature that the function enables.
        return unsafe { avx512::tail(state, bytes) };
    }
    scalar::update(state, bytes)
}

/// Runs a kernel; `None` if the machine cannot.
pub(super) fn update(kernel: Kernel, state: u64, bytes: &[u8]) -> Option<u64> {
    if !is_supported(kernel) {
        return None;
    }
    Some(match kernel {
        Kernel::Scalar => scalar::update(state, bytes),
        // SAFETY: the machine supports the kernel, so it has every feature that the kernel's functions enable.
        Kernel::Avx2 => unsafe { avx2::plain::update(state, bytes) },
        // SAFETY: as above.
        Kernel::Avx2Gfni => unsafe { avx2::gfni::update(state, bytes) },
        // SAFETY: as above.
        Kernel::Avx512 => unsafe { avx512::update(state, bytes) },
    })
}
