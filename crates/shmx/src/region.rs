//! Views into a mapped region. The only file of the facade with unsafe code.

use crate::error::{DirectoryReadError, OpenError};
use shmx_abi::wire::GlobalHeader;
use shmx_abi::{FRAME_HEADER_LEN, LayoutError, RegionLayout, hash};
use shmx_ring::bytes;
use shmx_ring::control::RingMemory;
use shmx_ring::load;
use shmx_ring::sync::{AtomicU8, AtomicU64, Ordering, fence};
use shmx_ring::view::{ControlHead, FrameView, HeaderView, ReaderView, Slot, Slots, cast, words};
use std::ops::Range;
use std::ptr::NonNull;

/// Memory that a region lies in.
///
/// # Safety
///
/// `shared` returns the same memory at every call. It stays mapped until the value is dropped, wherever that moves.
#[allow(unsafe_code)]
pub(crate) unsafe trait Backing {
    /// All bytes of the mapping.
    ///
    /// # Safety
    ///
    /// The terms of [`shmx_os::Region::bytes`], or of [`shmx_os::ReadOnlyRegion::bytes`] for a read-only mapping. This
    /// file keeps them: what is lent as a plain slice leaves it as the words of a slot's payload, which the other files
    /// only copy from under a stamp (the slot's seqlock word); headers, reader slots, rings and the directory are
    /// never lent.
    unsafe fn shared(&self) -> &[AtomicU8];
}

// SAFETY: a region's mapping is made with it, never changes, and goes when it is dropped.
#[allow(unsafe_code)]
unsafe impl Backing for shmx_os::Region {
    #[inline]
    unsafe fn shared(&self) -> &[AtomicU8] {
        // SAFETY: the same terms, passed on.
        unsafe { self.bytes() }
    }
}

// SAFETY: the same.
#[allow(unsafe_code)]
unsafe impl Backing for shmx_os::Pending {
    #[inline]
    unsafe fn shared(&self) -> &[AtomicU8] {
        // SAFETY: the same terms, passed on.
        unsafe { self.bytes() }
    }
}

/// A read-only mapping; the inspector only loads through it, with relaxed loads and fences, or instructions that load.
#[derive(Debug)]
pub(crate) struct ReadOnly(pub(crate) shmx_os::ReadOnlyRegion);

// SAFETY: the same.
#[allow(unsafe_code)]
unsafe impl Backing for ReadOnly {
    #[inline]
    unsafe fn shared(&self) -> &[AtomicU8] {
        // SAFETY: the same terms, passed on: the users of this type are the inspector, the tap and the functions of `shmx_ring` they call
        // (`newest`, `published`, `begin`, `begin_into`, `begin_unstamped`, `validate`, `copy_payload`, `copy_part`, `leases`;
        // `copy_out`, `load_bytes`, `watch`), which do relaxed loads and fences only, or load by instructions of their own.
        unsafe { self.0.bytes() }
    }
}

/// Maps a region for reading only, whatever the state of its server.
pub(crate) fn map_read_only(os: shmx_os::ReadOnlyRegion, name: &str) -> Result<Mapped<ReadOnly>, OpenError> {
    let bad = |cause| OpenError::Layout { name: name.to_owned(), cause };
    let available = os.len() as u64;
    let live = os.name().is_some();
    let os = ReadOnly(os);
    if live {
        await_magic(&os);
        // So that a region that was completed just now is known for one with locks.
        let _ = os.0.lock_state(shmx_os::LockByte::Server);
    }
    let header = header_of(&os).ok_or_else(|| bad(LayoutError::ShorterThanHeader { available }))?;
    let layout = RegionLayout::from_header(&header, available).map_err(bad)?;
    let total = u64::from(layout.total_bytes());
    Mapped::new(os, layout).ok_or_else(|| bad(LayoutError::Truncated { total, available }))
}

/// A mapping together with a layout that was checked against its length.
///
/// `os` and `layout` are never replaced, on their own, by others: `places` holds for these two only.
#[derive(Debug)]
pub(crate) struct Mapped<B> {
    pub(crate) os: B,
    pub(crate) layout: RegionLayout,
    places: Places,
}

/// Where the header and the slots of a mapping lie, checked once: they are looked up several times for each frame.
#[derive(Debug)]
struct Places {
    header: NonNull<HeaderView>,
    /// Header of slot 0. Its payload follows, and `stride` bytes on the next slot's header.
    first: NonNull<FrameView>,
    stride: usize,
    /// Words of each slot's payload.
    words: usize,
    slots: u32,
    /// Reader slot 0, and `reader_stride` bytes on the next one; dangling without any.
    readers: NonNull<ReaderView>,
    reader_stride: usize,
    reader_slots: u32,
}

// SAFETY: the pointers lead to atomics, which any thread may use, and say nothing about who unmaps them.
#[allow(unsafe_code)]
unsafe impl Send for Places {}
// SAFETY: the same.
#[allow(unsafe_code)]
unsafe impl Sync for Places {}

#[allow(unsafe_code)]
impl Places {
    /// `None` if anything would lie outside the memory, or not be aligned.
    fn find(shared: &[AtomicU8], layout: &RegionLayout) -> Option<Self> {
        let slots = layout.slots();
        let payload = (layout.frame_bytes_cap() as usize).next_multiple_of(size_of::<AtomicU64>());
        let stride = layout.slot_stride() as usize;
        let start = layout.frame_slot(0)?;
        // With the first and the last slot and the step from one to the next all of them are right.
        for at in [start, start.checked_add(stride.checked_mul(slots as usize - 1)?)?] {
            // SAFETY: nothing is accessed through either; see `Backing::shared` for what is later.
            unsafe { cast::<FrameView>(shared, at) }?;
            // SAFETY: the same.
            unsafe { words(shared, at + FRAME_HEADER_LEN as usize, payload) }?;
        }
        if !stride.is_multiple_of(align_of::<FrameView>()) {
            return None;
        }
        // SAFETY: the header is never lent, and accessed through such views only.
        let header = NonNull::from(unsafe { cast::<HeaderView>(shared, 0) }?);
        // Made from the whole slice, so that it may lead to all slots.
        let first = NonNull::new(shared.as_ptr().wrapping_add(start).cast_mut().cast())?;
        let (reader_slots, reader_stride) = (layout.reader_slots(), layout.reader_slot_stride() as usize);
        let mut readers = NonNull::dangling();
        if let Some(last) = reader_slots.checked_sub(1) {
            // With the first and the last one and the step between two all of them are right.
            for index in [0, last] {
                // SAFETY: nothing is accessed through it; see `Backing::shared` for what is later.
                unsafe { cast::<ReaderView>(shared, layout.reader_slot(index)?) }?;
            }
            if !reader_stride.is_multiple_of(align_of::<ReaderView>()) {
                return None;
            }
            readers = NonNull::new(shared.as_ptr().wrapping_add(layout.reader_slot(0)?).cast_mut().cast())?;
        }
        let words = payload / size_of::<AtomicU64>();
        Some(Self { header, first, stride, words, slots, readers, reader_stride, reader_slots })
    }
}

#[allow(unsafe_code)]
impl<B: Backing> Mapped<B> {
    /// `None` if the mapping is shorter than the layout.
    pub(crate) fn new(os: B, layout: RegionLayout) -> Option<Self> {
        // SAFETY: `Places` are all that is made of it.
        let shared = unsafe { os.shared() }.get(..layout.total_bytes() as usize)?;
        let places = Places::find(shared, &layout)?;
        Some(Self { os, layout, places })
    }

    #[inline]
    pub(crate) fn reader(&self, index: u32) -> Option<&ReaderView> {
        let Places { readers, reader_stride, reader_slots, .. } = self.places;
        if index >= reader_slots {
            return None;
        }
        // SAFETY: `Places::find` has checked the first and the last reader slot and the step from one to the next.
        let place = unsafe { readers.byte_add(index as usize * reader_stride) };
        // SAFETY: it lies in the mapping and is aligned, as was checked; the mapping lives as long as `self`. A reader slot
        // is never lent, and accessed through such views only.
        Some(unsafe { place.as_ref() })
    }

    pub(crate) fn control(&self, index: u32) -> Option<RingMemory<'_>> {
        let start = self.layout.control_ring(index)?;
        // SAFETY: a ring is never lent.
        let shared = unsafe { self.os.shared() };
        let bytes = shared.get(start..start + self.layout.control_per_reader() as usize)?;
        // SAFETY: the same. The positions are accessed through such views only, and the ring's other bytes one by one.
        let head = unsafe { cast::<ControlHead>(bytes, 0) }?;
        Some(RingMemory { head, bytes })
    }

    pub(crate) fn copy(&self, range: Range<usize>) -> Vec<u8> {
        // SAFETY: it is only loaded from. Who copies payloads looks at stamps or, for a dump, takes what comes.
        let shared = unsafe { self.os.shared() };
        let src = shared.get(range.clone()).unwrap_or(&[]);
        let mut dst = vec![0; src.len()];
        // In words as far as possible, which is several times as fast.
        let whole = src.len() / 8 * 8;
        // SAFETY: the same. Inspectors call this, whose mapping nobody stores through.
        let (words, tail) = match unsafe { words(shared, range.start, whole) } {
            Some(words) => (words, whole),
            None => (&[][..], 0),
        };
        bytes::copy_out(words, &mut dst[..tail]);
        bytes::load_bytes(&src[tail..], &mut dst[tail..]);
        dst
    }

    pub(crate) fn header_copy(&self) -> GlobalHeader {
        self.header().load()
    }

    pub(crate) fn static_area(&self) -> &[AtomicU8] {
        let start = self.layout.static_offset() as usize;
        // SAFETY: the directory is never lent, and accessed byte by byte only.
        let shared = unsafe { self.os.shared() };
        shared.get(start..start + self.layout.static_bytes_cap() as usize).unwrap_or(&[])
    }

    /// A consistent copy of the directory's used bytes with its generation and hash.
    pub(crate) fn directory_copy(&self) -> Result<(u32, u64, Vec<u8>), DirectoryReadError> {
        let h = self.header();
        let mut error = DirectoryReadError::Unstable;
        for _ in 0..100 {
            let generation = h.static_gen.load(Ordering::Relaxed);
            fence(Ordering::Acquire);
            let used = h.static_bytes_used.load(Ordering::Relaxed);
            let hash = load::count(&h.static_hash);
            let Some(src) = self.static_area().get(..used as usize) else {
                error = DirectoryReadError::Oversize { used, capacity: self.layout.static_bytes_cap() };
                std::thread::yield_now();
                continue;
            };
            let mut copy = vec![0; src.len()];
            bytes::load_bytes(src, &mut copy);
            fence(Ordering::Acquire);
            if h.static_gen.load(Ordering::Relaxed) != generation {
                error = DirectoryReadError::Unstable;
                continue;
            }
            if copy.is_empty() || hash::fnv1a64(&copy) == hash {
                return Ok((generation, hash, copy));
            }
            // An append in progress changes the bytes used, the hash and the generation one after the other.
            error = DirectoryReadError::HashMismatch;
            std::thread::yield_now();
        }
        Err(error)
    }
}

#[allow(unsafe_code)]
impl<B: Backing> Slots for Mapped<B> {
    #[inline]
    fn header(&self) -> &HeaderView {
        // SAFETY: `Places::find` has checked that the header lies in the memory of `os`, which stays as long as `self`
        // (`Backing`). It is made of atomics, which others may write.
        unsafe { self.places.header.as_ref() }
    }

    #[inline]
    fn slot_count(&self) -> u32 {
        self.places.slots
    }

    #[inline]
    fn slot(&self, index: u32) -> Slot<'_> {
        let Places { first, stride, words, slots, .. } = self.places;
        // Never beyond, see `Slots::slot`; a remainder instead of a panic.
        let index = if index < slots { index } else { index % slots };
        // SAFETY: `Places::find` has checked that the headers of all slots, `stride` apart, lie in the memory of `os`,
        // and `index` is below their number.
        let place = unsafe { first.byte_add(index as usize * stride) };
        // SAFETY: the same, and it is aligned, stays as long as `self`, and is made of atomics, which others may write.
        let head = unsafe { place.as_ref() };
        // SAFETY: the same for the payload, which begins where the header ends.
        let payload = unsafe { place.byte_add(FRAME_HEADER_LEN as usize) }.cast::<AtomicU64>();
        // SAFETY: the same for its `words` words.
        let payload = unsafe { std::slice::from_raw_parts(payload.as_ptr(), words) };
        Slot { head, payload }
    }
}

/// Most slots for which payload pages are protected one by one; each costs the kernel two areas of address space.
const PROTECTED_SLOTS: u32 = 1024;

/// A huge page of the systems that have them; write-protecting a part of one would break it up.
const HUGE_PAGE: usize = 2 << 20;

/// Makes the pages that a reader never writes read-only: those wholly within the directory or within a payload.
///
/// Frame headers stay writable, for the lease bits; with `huge_pages`, also what shares a huge page with them. Best
/// effort: without it the reader works all the same.
#[allow(unsafe_code)]
pub(crate) fn protect_reader(region: &Mapped<shmx_os::Region>, huge_pages: bool) {
    let layout = &region.layout;
    let directory = layout.static_offset() as usize;
    let slots = if layout.slots() <= PROTECTED_SLOTS { layout.slots() } else { 0 };
    let payloads = (0..slots).filter_map(|i| {
        let payload = layout.frame_slot(i)? + FRAME_HEADER_LEN as usize;
        Some(payload..payload + layout.frame_bytes_cap() as usize)
    });
    for range in payloads.chain(std::iter::once(directory..directory + layout.static_bytes_cap() as usize)) {
        let range =
            if huge_pages { range.start.next_multiple_of(HUGE_PAGE)..range.end / HUGE_PAGE * HUGE_PAGE } else { range };
        if range.is_empty() {
            continue;
        }
        // SAFETY: this mapping belongs to a `Client`. It stores to reader slots, control rings, the header and frame
        // headers only, none of which lies in these ranges: the layout's sections do not overlap.
        if let Err(error) = unsafe { region.os.protect_read_only(range) } {
            tracing::debug!(%error, "pages stay writable");
            return;
        }
    }
}

/// Whether objects have their name before they are complete, and the magic says when they are.
pub(crate) const VISIBLE_AT_ONCE: bool = cfg!(not(target_os = "linux"));

/// Gives the creator of an object without magic a moment to complete it. (On Linux only the reference shows such.)
pub(crate) fn await_magic<B: Backing>(os: &B) {
    for _ in 0..100 {
        // Acquire, by a fence that also suits read-only mappings: who sees the magic sees the rest.
        let begun = header_of(os).is_some_and(|h| h.magic == 0);
        fence(Ordering::Acquire);
        if !begun {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
}

/// A copy of the header at the start of a mapping; `None` if that is too short.
#[allow(unsafe_code)]
pub(crate) fn header_of<B: Backing>(os: &B) -> Option<GlobalHeader> {
    // SAFETY: only the header is loaded, which is never lent.
    let shared = unsafe { os.shared() };
    // SAFETY: the same, in the fields' own widths.
    unsafe { cast::<HeaderView>(shared, 0) }.map(HeaderView::load)
}

/// The payload of a slot that the caller holds by lease.
///
/// Not public, and called only for a lease that the caller owns: by `payload` of `attachment::Held` and of
/// `attachment::Lease`, and by `client::Following` for what its producer has announced. Each lends the slice for no
/// longer than itself and ends the lease when it is dropped.
#[allow(unsafe_code)]
#[inline]
pub(crate) fn leased_payload<B: Backing>(region: &Mapped<B>, slot: u32, len: usize) -> &[u8] {
    // SAFETY: the caller owns a lease on the slot for as long as it lends the slice (see above), and no writer
    // that follows the protocol writes a leased slot, or what it has announced of one that was leased under its pen. A process that ignores the protocol can write any mapped byte
    // whatever we do; docs/reliability.md says so.
    unsafe { bytes::leased(region.slot(slot).payload, len) }
}

/// What has been written of the payload of a slot that the caller has claimed.
///
/// As [`claimed_payload`]; lent while no slice of the same bytes is lent for writing.
#[allow(unsafe_code)]
#[inline]
pub(crate) fn written_payload<B: Backing>(region: &Mapped<B>, slot: u32, len: u32) -> &[u8] {
    // SAFETY: the caller owns the claim, and writes none of the bytes while it lends them (see above).
    unsafe { bytes::leased(region.slot(slot).payload, len as usize) }
}

/// The payload area of a slot that the caller has claimed, and that was not opened to followers.
///
/// Not public and called by [`crate::FrameWriter`] alone, which owns the claim, made by its server's claimer on the
/// same region. Its methods make one slice each, through `&mut self` or, to publish, by value.
#[allow(unsafe_code, clippy::mut_from_ref)]
#[inline]
pub(crate) fn claimed_payload<B: Backing>(region: &Mapped<B>, slot: u32) -> &mut [u8] {
    let len = region.layout.frame_bytes_cap() as usize;
    // SAFETY: the caller owns the claim and keeps one slice at a time (see above: none outlives the borrow of it). No
    // other claim of this server is on the slot, whatever stands in shared memory: the claimer has a flag for each slot
    // in memory of its own, set before there is a claim and cleared when the claim is given up, after the last use of
    // the slice. Readers load atomically and discard. Other processes that write the slot ignore the protocol, see
    // `leased_payload`.
    unsafe { bytes::claimed(region.slot(slot).payload, 0, len) }
}

/// The same from byte `from` on; what lies before it may have been announced to followers.
#[allow(unsafe_code, clippy::mut_from_ref)]
pub(crate) fn claimed_room<B: Backing>(region: &Mapped<B>, slot: u32, from: u32) -> &mut [u8] {
    let len = region.layout.frame_bytes_cap().saturating_sub(from) as usize;
    // SAFETY: as above; and the caller has announced nothing from `from` on, while followers look at no more than what
    // was announced.
    unsafe { bytes::claimed(region.slot(slot).payload, from as usize, len) }
}
