//! The live views over bytes: each field is the one that the format has there.

use crate::world::Ring;
use shmx_abi::wire::{FrameHeader, GlobalHeader, ReaderSlot, read_at};
use shmx_ring::bytes::store_bytes;
use shmx_ring::sync::{AtomicU8, Ordering};
use shmx_ring::view::{ControlHead, ControlPositions, FrameView, HeaderView, ReaderView, Slots, View, cast, words};

/// Two global headers long, and aligned as a region is.
#[repr(align(64))]
struct Memory([AtomicU8; 256]);

impl Memory {
    /// Every byte of a value differs from its neighbours, and every bit of each byte is set somewhere.
    fn new() -> Self {
        Self(std::array::from_fn(|i| AtomicU8::new((i as u8).wrapping_mul(37) ^ 0x5A)))
    }

    fn bytes(&self) -> Vec<u8> {
        self.0.iter().map(|b| b.load(Ordering::Relaxed)).collect()
    }

    fn view<T: View>(&self, offset: usize) -> Option<&T> {
        // SAFETY: the memory is this test's own, and nobody stores to it while a view is used.
        unsafe { cast(&self.0, offset) }
    }

    fn words(&self, offset: usize, len: usize) -> Option<Vec<u64>> {
        // SAFETY: as in `view`.
        let words = unsafe { words(&self.0, offset, len) };
        words.map(|w| w.iter().map(|w| w.load(Ordering::Relaxed)).collect())
    }
}

#[test]
fn a_view_loads_what_a_parser_of_the_bytes_finds() {
    let memory = Memory::new();
    let bytes = memory.bytes();
    for at in [0, 64, 128] {
        let header: GlobalHeader = read_at(&bytes, at).unwrap();
        assert_eq!(memory.view::<HeaderView>(at).unwrap().load(), header);
        let frame: FrameHeader = read_at(&bytes, at).unwrap();
        assert_eq!(memory.view::<FrameView>(at).unwrap().load(), frame);
        let reader: ReaderSlot = read_at(&bytes, at).unwrap();
        assert_eq!(memory.view::<ReaderView>(at).unwrap().load(), reader);
        let positions =
            ControlPositions { read: read_at(&bytes, at).unwrap(), write: read_at(&bytes, at + 8).unwrap() };
        assert_eq!(memory.view::<ControlHead>(at).unwrap().load(), positions);
    }
    store_bytes(&[0; 256], &memory.0);
    assert_eq!(HeaderView::new().load(), GlobalHeader::default(), "a view of its own is all zero");
    assert_eq!(memory.view::<HeaderView>(0).unwrap().load(), HeaderView::new().load());
}

#[test]
fn a_view_lies_within_the_bytes_and_is_aligned() {
    let memory = Memory::new();
    for at in 0..300 {
        assert_eq!(memory.view::<HeaderView>(at).is_some(), at % 64 == 0 && at + 128 <= 256, "{at}");
        assert_eq!(memory.view::<ReaderView>(at).is_some(), at % 64 == 0 && at + 64 <= 256, "{at}");
        assert_eq!(memory.view::<ControlHead>(at).is_some(), at % 8 == 0 && at + 16 <= 256, "{at}");
        for len in (0..20).chain([240, 248, 256, 264]) {
            let found = memory.words(at, len);
            assert_eq!(found.is_some(), at % 8 == 0 && len % 8 == 0 && at + len <= 256, "{len} bytes at {at}");
            let found: Vec<u8> = found.iter().flatten().flat_map(|w| w.to_ne_bytes()).collect();
            assert!(memory.bytes()[at.min(256)..].starts_with(&found), "{len} bytes at {at}");
        }
    }
    assert!(memory.view::<ControlHead>(usize::MAX - 7).is_none() && memory.words(usize::MAX - 7, 16).is_none());
}

/// Whoever is given a reference to slots finds the same ones.
#[test]
fn slots_behind_a_reference_are_the_same() {
    fn places<S: Slots>(slots: S) -> Vec<*const FrameView> {
        assert_eq!(slots.header().frame_seq.load(Ordering::Relaxed), 9);
        (0..slots.slot_count()).map(|i| std::ptr::from_ref(slots.slot(i).head)).collect()
    }
    let ring = Ring::new(3);
    ring.header.frame_seq.store(9, Ordering::Relaxed);
    let expected: Vec<_> = ring.slots.iter().map(|(head, _)| std::ptr::from_ref(head)).collect();
    assert_eq!(places(&ring), expected);
}
