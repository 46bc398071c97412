//! What is measured, in which order.

use crate::contenders::Kind;
use crate::duel::{Cell, Entry, MOST_PEERS, MOST_READERS, What};

pub(crate) const SIZES: [usize; 5] = [64, 4 << 10, 64 << 10, 1 << 20, 8 << 20];

/// Payload of the cells about many readers, bytes.
const FAN_BYTES: usize = 64 << 10;

/// Payload of a frame that is read out slowly, bytes.
const READOUT_BYTES: usize = 8 << 20;

/// A camera's frame: 640x480 RGB.
pub(crate) const CAMERA: usize = 640 * 480 * 3;

/// All cells, for contenders and sizes that are wanted.
pub(crate) fn cells(kinds: &[Kind], sizes: &[usize]) -> Vec<Cell> {
    let mut cells = Vec::new();
    let mut add = |what, touch, block, entries: Vec<Entry>| {
        if !entries.is_empty() {
            cells.push(Cell { what, touch, block, load: false, entries });
        }
    };
    let of = |kinds: &mut dyn Iterator<Item = Kind>, bytes, readers: &[usize]| {
        let kinds = kinds.filter(|k| k.fits(bytes));
        kinds.flat_map(|kind| readers.iter().map(move |&readers| Entry { kind, bytes, readers })).collect::<Vec<_>>()
    };
    let all = || kinds.iter().copied().filter(|k| k.common());
    for &bytes in sizes {
        add(What::PingPong, true, false, of(&mut all(), bytes, &[1]));
        add(What::PingPong, false, false, of(&mut all().filter(|k| k.can_leave_untouched()), bytes, &[1]));
        add(What::OneWay, true, false, of(&mut all().filter(|k| k.carries()), bytes, &[1]));
        let light = |k: &Kind| k.carries() && k.can_leave_untouched();
        add(What::OneWay, false, false, of(&mut all().filter(light), bytes, &[1]));
        let sleepers = |k: &Kind| k.can_sleep() && !matches!(k, Kind::RawMany | Kind::RawCopy);
        add(What::PingPong, true, true, of(&mut all().filter(sleepers), bytes, &[1]));
    }
    // A camera with default settings, against a bare mapping with a flag and against what costs the most.
    let camera = |k: &Kind| matches!(k, Kind::Raw | Kind::ShmxDefault | Kind::ShmxChecked);
    for block in [false, true] {
        add(What::PingPong, true, block, of(&mut kinds.iter().copied().filter(camera), CAMERA, &[1]));
    }
    // The same contender at both ends of the scale, side by side.
    if let [small, .., large] = *sizes {
        let lease = kinds.iter().copied().filter(|&k| k == Kind::ShmxLeaseAlways);
        let entries = of(&mut { lease }, small, &[1]).into_iter();
        let both = entries.flat_map(|e| [e, Entry { bytes: large, ..e }]).collect();
        add(What::PingPong, false, false, both);
    }
    let few = |k: &Kind| matches!(k, Kind::Raw | Kind::Ringfire | Kind::Iceoryx2 | Kind::ShmxLease | Kind::ShmxCopy);
    add(What::WakeUp, true, true, of(&mut all().filter(few), SIZES[0], &[1]));
    for kind in [Kind::Ringfire, Kind::Iceoryx2, Kind::Reference, Kind::ShmxLease] {
        // Peers' readers are costly to make; where they matter is seen with eight.
        let counts: &[usize] =
            if kind == Kind::ShmxLease { &[0, 1, MOST_PEERS, 32, MOST_READERS] } else { &[0, 1, MOST_PEERS] };
        add(What::Publish, true, false, of(&mut all().filter(|&k| k == kind), SIZES[0], counts));
    }
    // What it costs to hand out a frame in pieces if nobody follows, and if those who do never look.
    let mut pieces = of(&mut all().filter(|&k| k == Kind::ShmxWarm), FAN_BYTES, &[0]);
    pieces.extend(of(&mut all().filter(|&k| k == Kind::ShmxFollow), FAN_BYTES, &[0, 1, MOST_PEERS]));
    add(What::Publish, true, false, pieces);
    let few = |k: &Kind| few(k) || *k == Kind::ShmxFollow;
    for readers in [1, 2, 4, MOST_PEERS] {
        add(What::FanOut, true, true, of(&mut all().filter(few), FAN_BYTES, &[readers]));
    }
    let readout = |k: &Kind| {
        matches!(k, Kind::Raw | Kind::RingfireBlob | Kind::Iceoryx2 | Kind::ShmxLease | Kind::ShmxLeaseHash)
            || k.follows()
    };
    for block in [false, true] {
        let fit = |k: &Kind| readout(k) && (!block || k.can_sleep());
        add(What::Readout, true, block, of(&mut all().filter(fit), READOUT_BYTES, &[1]));
    }
    let paced = |k: &Kind| {
        matches!(
            k,
            Kind::Raw | Kind::Ringfire | Kind::RingfireBlob | Kind::Iceoryx2 | Kind::ShmxLease | Kind::ShmxLeaseHash
        )
    };
    for (block, load) in [(false, false), (false, true), (true, false), (true, true)] {
        let fit = |k: &Kind| paced(k) && (!block || k.can_sleep());
        let entries = of(&mut all().filter(fit), SIZES[0], &[1]);
        if !entries.is_empty() {
            cells.push(Cell { what: What::Paced, touch: true, block, load, entries });
        }
    }
    cells
}
