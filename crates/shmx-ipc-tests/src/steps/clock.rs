//! A clock for victims that goes on only when it is looked at, so that an operation takes the same way whenever it is
//! run, and however slowly.
//!
//! Programs read the clock through a function that the kernel maps into them. In the victim its first bytes become a
//! counter, in a page that the victim is made to map.

use crate::steps::inject;
use anyhow::{Context, Result};
use nix::sys::ptrace;
use nix::unistd::Pid;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::sync::OnceLock;

/// Nanoseconds from one look to the next: a few looks are as long as any timeout here.
const STEP: u32 = 200_000;
const FUNCTION: &[u8] = b"__vdso_clock_gettime\0";

/// Puts the clock into a victim, whose instruction for system calls is at `call_at`.
pub(crate) fn install(pid: Pid, call_at: u64) -> Result<()> {
    static OFFSET: OnceLock<Option<u64>> = OnceLock::new();
    let offset = OFFSET.get_or_init(|| function_offset().ok()).context("the kernel's clock function is not found")?;
    let (start, _) = vdso(&format!("/proc/{pid}/maps"))?;
    let (rights, kind) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS);
    let page = [0, 4096, rights as u64, kind as u64, u64::MAX, 0];
    let counter = inject::call(pid, call_at, libc::SYS_mmap, page)?;
    ptrace::write(pid, counter as ptrace::AddressType, shmx_os::clock::ticks().cast_signed())?;
    let mut code = vec![0x49, 0xbb]; // mov r11, counter
    code.extend(counter.to_le_bytes());
    code.extend([0x49, 0x8b, 0x03, 0x48, 0x05]); // mov rax, [r11]; add rax, STEP
    code.extend(STEP.to_le_bytes());
    code.extend([0x49, 0x89, 0x03, 0x31, 0xd2, 0xb9]); // mov [r11], rax; xor edx, edx; mov ecx, 10^9
    code.extend(1_000_000_000_u32.to_le_bytes());
    code.extend([0x48, 0xf7, 0xf1]); // div rcx
    code.extend([0x48, 0x89, 0x06, 0x48, 0x89, 0x56, 0x08]); // mov [rsi], rax; mov [rsi+8], rdx
    code.extend([0x31, 0xc0, 0xc3]); // xor eax, eax; ret
    code.resize(code.len().next_multiple_of(8), 0x90);
    for (at, word) in (start + offset..).step_by(8).zip(code.as_chunks::<8>().0) {
        ptrace::write(pid, at as ptrace::AddressType, i64::from_le_bytes(*word))?;
    }
    Ok(())
}

/// Where the kernel's functions are in a process.
fn vdso(maps: &str) -> Result<(u64, u64)> {
    let maps = std::fs::read_to_string(maps)?;
    let line = maps.lines().find(|l| l.ends_with("[vdso]")).context("no [vdso]")?;
    let (from, to) = line.split_once(' ').and_then(|(range, _)| range.split_once('-')).context("a line of maps")?;
    Ok((u64::from_str_radix(from, 16)?, u64::from_str_radix(to, 16)?))
}

/// Where the function is among them, by this process's own copy.
fn function_offset() -> Result<u64> {
    let (from, to) = vdso("/proc/self/maps")?;
    let mut image = vec![0; usize::try_from(to - from)?];
    File::open("/proc/self/mem")?.read_exact_at(&mut image, from)?;
    let word = |at: u64| -> Result<u64> {
        let bytes = image.get(usize::try_from(at)?..).and_then(|rest| rest.first_chunk::<8>());
        Ok(u64::from_le_bytes(*bytes.context("the kernel's functions end early")?))
    };
    // Program headers, the dynamic one among them, and its tables of symbols and of their names.
    let (headers, count) = (word(32)?, word(56)? & 0xffff);
    let headers = (0..count).map(|i| headers + i * 56);
    let (mut dynamic, mut symbols, mut names) = (0, 0, 0);
    for header in headers {
        if word(header)? & 0xffff_ffff == 2 {
            dynamic = word(header + 8)?;
        }
    }
    for at in (dynamic..).step_by(16) {
        match word(at)? {
            0 => break,
            5 => names = word(at + 8)? % from.max(1),
            6 => symbols = word(at + 8)? % from.max(1),
            _ => {}
        }
    }
    for symbol in (symbols..names).step_by(24) {
        let name = usize::try_from(names + (word(symbol)? & 0xffff_ffff))?;
        if image.get(name..).is_some_and(|rest| rest.starts_with(FUNCTION)) {
            return word(symbol + 8);
        }
    }
    anyhow::bail!("no such function")
}
