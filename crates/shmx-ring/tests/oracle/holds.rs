//! Several leases of one reader on one slot, and what a reader slot says of its owner.

use crate::world::Ring;
use shmx_ring::hold::{Hold, Holds, Refused};
use shmx_ring::reader::{self, FrameSnapshot};
use shmx_ring::readers::{self, Newcomer};
use shmx_ring::sync::Ordering;
use shmx_ring::view::{HeaderView, ReaderView, Slots};

fn begin(holds: &Holds, ring: &Ring) -> Result<Hold, Refused> {
    holds.begin(ring.slot(0), 3, &mut FrameSnapshot::default())
}

#[test]
fn the_last_lease_to_end_clears_the_bit() {
    let (ring, holds) = (Ring::new(1), Holds::new());
    let slot = || ring.slot(0);
    // Alone, counted or not; and both ways once more, for the count is 0 again.
    for _ in 0..2 {
        let alone = holds.begin_alone(slot(), 3, &mut FrameSnapshot::default()).unwrap();
        assert_eq!((reader::leases(slot()), alone.to_bits(), alone.is_verified()), (8, 0, false));
        holds.end(slot(), 3, alone);
        assert_eq!(reader::leases(slot()), 0);
        let leases: Vec<_> = (0..4).map(|_| begin(&holds, &ring).unwrap()).collect();
        for (left, hold) in (0..4).rev().zip(leases) {
            assert_eq!((hold.to_bits(), reader::leases(slot())), (1, 8));
            holds.end(slot(), 3, hold);
            assert_eq!(reader::leases(slot()), if left > 0 { 8 } else { 0 });
        }
    }
    // One that begins alone is counted later, or shared; who comes then is counted, too.
    let mut first = holds.begin_alone(slot(), 3, &mut FrameSnapshot::default()).unwrap();
    holds.count(&mut first);
    holds.count(&mut first);
    let second = holds.share(&mut first);
    let third = holds.begin_alone(slot(), 3, &mut FrameSnapshot::default()).unwrap();
    for (hold, left) in [(first, 8), (third, 8), (second, 0)] {
        assert_eq!(hold.to_bits(), 1);
        holds.end(slot(), 3, hold);
        assert_eq!(reader::leases(slot()), left);
    }
}

#[test]
fn a_right_checksum_is_remembered_while_leases_last() {
    let (ring, holds) = (Ring::new(1), Holds::new());
    let mut first = begin(&holds, &ring).unwrap();
    let before = begin(&holds, &ring).unwrap();
    holds.set_verified(&mut first);
    let after = begin(&holds, &ring).unwrap();
    assert_eq!([first, before, after].map(|h| h.is_verified()), [true, false, true]);
    assert_eq!([first, before, after].map(Hold::to_bits), [3, 1, 3]);
    for hold in [first, before, after] {
        assert_eq!(Hold::from_bits(hold.to_bits()), hold);
        assert_eq!(reader::leases(ring.slot(0)), 8);
        holds.end(ring.slot(0), 3, hold);
    }
    assert_eq!(Hold::from_bits(0xFC).to_bits(), 0, "what no lease has is left out");
    assert_eq!(reader::leases(ring.slot(0)), 0);
    assert!(!begin(&holds, &ring).unwrap().is_verified(), "another frame may be there");
    // Verified before it is counted.
    let holds = Holds::new();
    let mut alone = holds.begin_alone(ring.slot(0), 3, &mut FrameSnapshot::default()).unwrap();
    holds.set_verified(&mut alone);
    assert_eq!(alone.to_bits(), 2);
    holds.count(&mut alone);
    assert_eq!((alone.to_bits(), begin(&holds, &ring).unwrap().to_bits()), (3, 3));
}

#[test]
fn a_slot_that_is_written_is_refused() {
    let (ring, holds) = (Ring::new(1), Holds::new());
    let stamp = &ring.slot(0).head.ext_stamp;
    stamp.store(1, Ordering::Relaxed);
    assert_eq!(begin(&holds, &ring), Err(Refused::Disturbed));
    assert_eq!(reader::leases(ring.slot(0)), 0);
    stamp.store(2, Ordering::Relaxed);
    let first = begin(&holds, &ring).unwrap();
    // Somebody who does not keep the protocol.
    stamp.store(3, Ordering::Relaxed);
    assert_eq!(begin(&holds, &ring), Err(Refused::Disturbed));
    assert_eq!(holds.begin_following(ring.slot(0), 3, 3), Err(Refused::Disturbed), "there is a lease");
    assert_eq!(reader::leases(ring.slot(0)), 8);
    holds.end(ring.slot(0), 3, first);
    assert_eq!(reader::leases(ring.slot(0)), 0);
}

#[test]
fn a_reader_slot_tells_what_its_owner_needs() {
    let header = HeaderView::new();
    assert_eq!(readers::changes(&header), (0, 0));
    for bits in 0..8_u32 {
        let [locked, verifies, every_frame] = [1, 2, 4].map(|bit| bits & bit != 0);
        let slot = ReaderView::new();
        assert!(!readers::needs_checksums(&slot) && !readers::follows(&slot), "nobody is there");
        let before = readers::changes(&header);
        let who = Newcomer { id: 7, pid: 5, now: 1, locked, verifies, every_frame };
        assert!(readers::attach(&header, &slot, &who).is_some());
        let attached = readers::changes(&header);
        assert!(attached.0 == before.0 + 1 && attached.1 != before.1);
        // Without its tag it may be a reader of the original.
        assert_eq!(readers::needs_checksums(&slot), verifies || !locked);
        assert!(!readers::follows(&slot));
        let flags = slot.ext_rejected_flags.load(Ordering::Relaxed);
        readers::announce_following(&header, &slot);
        assert_eq!(readers::follows(&slot), locked);
        assert_eq!(readers::needs_checksums(&slot), verifies || !locked);
        assert_ne!(readers::changes(&header).1, attached.1);
        assert_ne!(slot.ext_rejected_flags.load(Ordering::Relaxed), flags);
        // Half gone, or not yet there.
        slot.reader_id.store(0, Ordering::Relaxed);
        slot.ext_tag.store(0, Ordering::Relaxed);
        assert!(readers::needs_checksums(&slot) && !readers::follows(&slot));
        readers::detach(&header, &slot);
        assert_eq!(readers::changes(&header).0, before.0);
        // What a free slot holds means nothing.
        slot.reader_id.store(7, Ordering::Relaxed);
        slot.ext_tag.store(7, Ordering::Relaxed);
        slot.ext_rejected_flags.store(u64::MAX, Ordering::Relaxed);
        assert!(!readers::needs_checksums(&slot) && !readers::follows(&slot));
    }
}
