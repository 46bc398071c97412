//! Page tables of a mapping: entries made ahead of use, huge pages, and what came of both.

use std::ffi::c_void;
use std::ops::Range;

use rustix::io::Errno;
use rustix::mm::Advice;

/// A mapping's range; its owner vouches that all of it is mapped and writable.
#[derive(Clone, Copy)]
pub(super) struct Span {
    base: *mut c_void,
    len: usize,
}

impl Span {
    /// # Safety
    ///
    /// `len` bytes from the page boundary `base` are one mapping, which stays while this lives.
    pub(super) unsafe fn new(base: *mut c_void, len: usize) -> Self {
        Self { base, len }
    }

    /// Asks for huge pages. Best effort: without them the pages are small.
    pub(super) fn advise_huge(self) {
        // SAFETY: the range is exactly the mapping, see `new`; the advice changes no contents.
        let _ = unsafe { rustix::mm::madvise(self.base, self.len, Advice::LinuxHugepage) };
    }

    /// Enters all pages into the page table, for writing. `INVAL` before Linux 5.14.
    pub(super) fn populate(self) -> Result<(), Errno> {
        // SAFETY: the range is exactly the mapping, see `new`; populating changes no contents.
        unsafe { rustix::mm::madvise(self.base, self.len, Advice::LinuxPopulateWrite) }
    }

    /// Bytes of the mapping that huge pages map.
    pub(super) fn huge_bytes(self) -> Option<u64> {
        let start = self.base.addr();
        huge_bytes(&std::fs::read_to_string("/proc/self/smaps").ok()?, start..start + self.len)
    }
}

/// Adds up what the kernel's list of areas says of those inside `span`. One mapping is several areas where its pages
/// differ in protection.
fn huge_bytes(smaps: &str, span: Range<usize>) -> Option<u64> {
    let mut found = None;
    let mut inside = false;
    for line in smaps.lines() {
        let area = line.split(' ').next().and_then(|range| {
            let (start, end) = range.split_once('-')?;
            let hex = |text| usize::from_str_radix(text, 16).ok();
            Some(hex(start)?..hex(end)?)
        });
        if let Some(area) = area {
            inside = area.start < span.end && span.start < area.end;
        } else if inside && let Some(amount) = line.strip_prefix("ShmemPmdMapped:") {
            let kib: u64 = amount.trim().strip_suffix(" kB")?.parse().ok()?;
            *found.get_or_insert(0) += kib * 1024;
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::huge_bytes;

    #[test]
    fn areas_inside_are_added_up() {
        let smaps = "\
7000-9000 rw-s 00000000 00:17 1 /dev/shm/a
Size:                  8 kB
ShmemPmdMapped:     2048 kB
VmFlags: rd wr sh
9000-a000 r--s 00002000 00:17 1 /dev/shm/a
ShmemPmdMapped:     4096 kB
a000-b000 rw-p 00000000 00:00 0
ShmemPmdMapped:        8 kB
";
        assert_eq!(huge_bytes(smaps, 0x7000..0xa000), Some(6 << 20));
        assert_eq!(huge_bytes(smaps, 0x9000..0x9001), Some(4 << 20));
        assert_eq!(huge_bytes(smaps, 0xb000..0xc000), None);
    }
}
