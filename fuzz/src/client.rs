//! A client on a live object made of arbitrary bytes, which also change between the client's calls; and a server that
//! wants the object's name.

use crate::live::{Live, load, store};
use crate::ops::Ops;
use crate::region::{LONGEST, PREFIX, flag, repaired};
use shmx::error::{CreateError, OpenError, ReadError};
use shmx::{ChecksumState, Client, Frame, Hold, OwnedFrame, Server, StreamSpec, Verify};
use shmx_abi::extension::{Features, SERVER_WAITS};
use shmx_abi::region::RegionRef;
use shmx_abi::wire::read_at;
use shmx_abi::{GlobalHeader, MAGIC, RegionLayout, hash};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

/// Bytes of operations between the flags and the region.
pub const OPS: usize = 64;

/// Refusals so far.
static REFUSALS: AtomicU32 = AtomicU32::new(0);

/// Runs the target.
///
/// # Panics
///
/// On a finding.
pub fn run(data: &[u8]) {
    let Some((flags, rest)) = data.split_at_checked(PREFIX) else { return };
    let flags = u16::from_le_bytes([flags[0], flags[1]]);
    let (script, bytes) = rest.split_at(OPS.min(rest.len()));
    let bytes = repaired(flags, bytes.get(..LONGEST.min(bytes.len())).unwrap_or(&[]).to_vec());
    if bytes.is_empty() {
        return;
    }
    let locked = flags & flag::LOCKED != 0;
    let live = Live::new(&bytes, locked);
    attach(&live, &bytes, flags, Ops::new(script));
    // A refusal takes its time, and is the same whatever the bytes are: a few in each process will do.
    if let Some(last) = script.get(OPS - 1).filter(|last| **last & 1 == 1)
        && (!locked || REFUSALS.fetch_add(1, Ordering::Relaxed) < 8)
    {
        take_over(&live, locked, last & 2 != 0);
    }
}

/// How the client reads.
#[derive(Clone, Copy)]
struct Options {
    verify: bool,
    lease: bool,
    copy_up_to: u32,
}

fn attach(live: &Live, bytes: &[u8], flags: u16, script: Ops<'_>) {
    let locked = flags & flag::LOCKED != 0;
    let small = flags & flag::COPY_SMALL != 0;
    let options = Options {
        verify: flags & flag::VERIFY != 0,
        lease: flags & flag::LEASE != 0,
        copy_up_to: if small { 192 } else { 0 },
    };
    let opened = Client::options()
        .verify(if options.verify { Verify::Always } else { Verify::Never })
        .hold(if options.lease { Hold::Lease } else { Hold::Copy })
        .spin(if small { Duration::from_nanos(500) } else { Duration::ZERO })
        .copy_up_to(options.copy_up_to)
        .require_slot(false)
        .open(&live.name);
    let parsed = RegionRef::parse(bytes);
    let client = match (opened, &parsed) {
        (Ok(client), Ok(_)) => client,
        (Err(OpenError::Layout { cause: source, .. }), Err(e)) => {
            assert_eq!(source, *e);
            return;
        }
        (Err(OpenError::ServerGone { .. }), Ok(region)) => {
            let f = region.features();
            assert!(f.has(Features::CLOSED) || f.has(Features::LOCKS) && !locked);
            assert_eq!(load(live.bytes()), bytes, "a refused client changes nothing");
            return;
        }
        (opened, parsed) => panic!("client {opened:?}, parser {parsed:?}"),
    };
    let region = parsed.expect("matched above");
    let mut neighbour = Neighbour { expected: bytes.to_vec(), scribbled: false };
    let index = client.reader_index();
    drive(client, live, options, &mut neighbour, script);
    if !neighbour.scribbled {
        let after = load(live.bytes());
        stayed(region.layout(), bytes, &after, index);
    } else if let Some(at) = outside(region.layout(), &neighbour.expected, &load(live.bytes())) {
        panic!("the client wrote byte {at}, which is no client's");
    }
}

/// A server wants the name. It gets it if nobody holds the lock and the object is one that it may replace.
fn take_over(live: &Live, locked: bool, replace: bool) {
    let before = load(live.bytes());
    let header: Option<GlobalHeader> = read_at(&before, 0);
    let region = header.is_some_and(|h| h.magic == MAGIC);
    let ours = region && header.is_some_and(|h| Features::of(&h).has(Features::LOCKS));
    let tick = StreamSpec::of::<u64>(1, "tick");
    let builder = Server::builder(&live.name).stream(tick, 1).reader_slots(1).frame_bytes(64).replace(replace);
    let created = builder.create();
    match created {
        Err(CreateError::HeldByLiveServer { .. }) => assert!(locked),
        Err(CreateError::ReferenceMade { .. }) => assert!(!locked && region && !ours && !replace),
        Err(CreateError::NotARegion { .. }) => assert!(!locked && !region && !replace),
        Err(e) => panic!("{e}"),
        Ok(mut server) => {
            assert!(!locked && (ours || replace));
            let mut client = Client::open(&live.name).expect("the new region");
            let mut frame = server.begin_frame().expect("a free slot");
            frame.append_stream(1, &[7_u64]).expect("it fits");
            frame.publish_frame(0.0).expect("the region is ours");
            let view = client.latest().expect("a frame").expect("a frame");
            assert_eq!(view.get::<u64>(1), Ok(&[7_u64][..]));
        }
    }
    // Readers of the old object may be told that it is closed; nothing else of it changes.
    let told = |at: usize| ours && !locked && ((20..24).contains(&at) || (124..128).contains(&at));
    let after = load(live.bytes());
    let changed = before.iter().zip(&after).enumerate().find(|(at, (b, a))| b != a && !told(*at));
    assert_eq!(changed, None, "a successor leaves the old object alone");
}

struct Neighbour {
    expected: Vec<u8>,
    scribbled: bool,
}

fn drive(mut client: Client, live: &Live, options: Options, neighbour: &mut Neighbour, mut ops: Ops<'_>) {
    let mut held: Vec<OwnedFrame> = Vec::new();
    let mut last = 0;
    while !ops.is_empty() {
        let before = held.len();
        match ops.below(12) {
            0 => keep(client.latest(), options, &mut held),
            op @ (1 | 6) => {
                let got = if op == 1 { client.try_next() } else { client.next(Duration::from_micros(20)) };
                if let Ok(Some(view)) = &got {
                    assert!(view.frame_id() > last, "in order, as long as the count of frames allows");
                    last = view.frame_id();
                }
                keep(got, options, &mut held);
            }
            2 => {
                let id = u64::from(ops.u8());
                let got = client.read_id(id);
                if let Ok(Some(view)) = &got {
                    assert_eq!(view.frame_id(), id);
                }
                keep(got, options, &mut held);
            }
            3 => {
                if let Ok(state) = client.directory() {
                    assert!(state.bytes.is_empty() || hash::fnv1a64(&state.bytes) == state.hash);
                    let _ = (state.stream(1), state.by_name("tick"));
                }
            }
            4 => {
                let (ty, len) = (ops.word(), usize::from(ops.u8()));
                let _ = client.control_send(ty, &[0xA5; 256][..len]);
            }
            5 => keep(client.wait(Duration::ZERO), options, &mut held),
            7 if !held.is_empty() => drop(held.swap_remove(usize::from(ops.u8()) % held.len())),
            8 => client.heartbeat(),
            11 => last = last.max(follow(&mut client, live, neighbour, &mut ops, &mut held)),
            9 => {
                neighbour.scribble(live, &mut ops);
                assert!(held.iter().all(|view| view.decode().is_ok() || !view.payload().is_empty()));
            }
            _ => drop((client.server_end(), client.is_replaced(), client.header())),
        }
        // An id that the count of frames makes impossible is forgotten by the client.
        if last.saturating_sub(client.header().frame_seq) > 1 {
            last = 0;
        }
        let capacity = client.layout().frame_bytes_cap() as usize;
        assert!(held.iter().skip(before).all(|view| view.payload().len() <= capacity));
        let stats = client.stats();
        assert!(stats.rejected < 1000 && stats.delivered < 1000);
    }
    let kept = held.pop();
    drop(client);
    if let Some(view) = kept {
        let _ = view.payload().first(); // a frame outlives its client
    }
}

impl Neighbour {
    fn scribble(&mut self, live: &Live, ops: &mut Ops<'_>) {
        let (at, word) = (usize::from(ops.u16()) % live.bytes().len(), ops.word().to_ne_bytes());
        store(live.bytes(), at, &word);
        for (cell, byte) in self.expected.iter_mut().skip(at).zip(word) {
            *cell = byte;
        }
        self.scribbled = true;
    }
}

/// Reads a frame that is being written, while somebody writes anything anywhere. The id of what it came to.
fn follow(
    client: &mut Client,
    live: &Live,
    neighbour: &mut Neighbour,
    ops: &mut Ops<'_>,
    held: &mut Vec<OwnedFrame>,
) -> u64 {
    let capacity = client.layout().frame_bytes_cap() as usize;
    let found = if ops.below(2) == 0 { client.follow(Duration::ZERO) } else { client.follow_next(Duration::ZERO) };
    let Ok(Some(mut coming)) = found else { return 0 };
    for _ in 0..ops.below(4) {
        if ops.below(2) == 0 {
            neighbour.scribble(live, ops);
        }
        let step = coming.wait(Duration::from_micros(20));
        assert!(coming.payload().len() <= capacity);
        let _ = (coming.part::<u64>(1).is_ok(), coming.part::<f32>(2).is_ok(), coming.streams().count());
        assert!(step.is_ok() || coming.payload().is_empty(), "nothing of a void frame is left");
    }
    let Ok(frame) = coming.finish(Duration::ZERO) else { return 0 };
    assert!(!frame.payload().is_empty() && frame.payload().len() <= capacity);
    let _ = (frame.decode().is_ok(), frame.get::<u64>(1).is_ok());
    let id = frame.frame_id();
    if held.len() < 4 {
        held.push(frame.keep());
    }
    id
}

fn keep(got: Result<Option<Frame<'_>>, ReadError>, options: Options, held: &mut Vec<OwnedFrame>) {
    let Ok(Some(view)) = got else { return };
    assert!(!view.payload().is_empty());
    match view.checksum() {
        ChecksumState::Verified => {
            assert!(options.verify);
            assert!(view.is_leased() || Some(hash::checksum32(view.payload())) == view.stored_checksum());
        }
        ChecksumState::Unverified => assert!(!options.verify),
        state => assert_eq!(state, ChecksumState::Absent),
    }
    assert!(options.lease && view.payload().len() > options.copy_up_to as usize || !view.is_leased());
    let _ = (view.decode().is_ok(), view.get::<u64>(1).is_ok(), view.to_vec::<bool>(2).is_ok(), view.age());
    if held.len() < 4 {
        held.push(view.keep());
    }
}

/// The first byte that differs and that no client may write.
fn outside(layout: &RegionLayout, before: &[u8], after: &[u8]) -> Option<usize> {
    let clients = |at: usize| {
        let slots = layout.slots_offset() as usize;
        let lease = at >= slots && {
            let within = (at - slots) % layout.slot_stride() as usize;
            (40..56).contains(&within)
        };
        let readers = layout.readers_offset() as usize..slots;
        // The count of readers, that of their coming and going, and the doorbell.
        let counts = (102..104).contains(&at) || (116..120).contains(&at) || (124..128).contains(&at);
        counts || lease || readers.contains(&at)
    };
    // Who wakes a server that waits says so.
    let woken = |at: usize, b: u8, a: u8| at == 100 && a == b & !(SERVER_WAITS as u8);
    before.iter().zip(after).enumerate().position(|(at, (&b, &a))| b != a && !clients(at) && !woken(at, b, a))
}

/// Nobody else wrote: all that is left of the client is the doorbell's and the ring's state.
fn stayed(layout: &RegionLayout, before: &[u8], after: &[u8], index: Option<u32>) {
    if let Some(at) = outside(layout, before, after) {
        panic!("the client wrote byte {at}, which is no client's");
    }
    for i in 0..layout.reader_slots() {
        let slot = layout.reader_slot(i).expect("in range");
        let (b, a) = (&before[slot..slot + 64], &after[slot..slot + 64]);
        if Some(i) == index {
            let free = (0..40).filter(|at| !(28..32).contains(at)).all(|at| a[at] == 0);
            assert!(free, "the client's reader slot is free again");
        } else {
            assert_eq!(b, a, "reader slot {i} is somebody else's");
        }
        if let Some(ring) = layout.control_ring(i) {
            let ring = ring..ring + layout.control_per_reader() as usize;
            if Some(i) == index {
                assert_eq!(
                    before[ring.start..ring.start + 8],
                    after[ring.start..ring.start + 8],
                    "not a sender's word"
                );
            } else {
                assert_eq!(before[ring.clone()], after[ring], "ring {i} is somebody else's");
            }
        }
    }
    for i in 0..layout.slots() {
        let at = layout.frame_slot(i).expect("in range") + 40;
        for byte in 0..16 {
            let own = index.filter(|i| *i as usize / 8 == byte).map_or(0, |i| 1 << (i % 8));
            let (b, a) = (before[at + byte], after[at + byte]);
            assert!(a == b || a == b & !own, "lease bits of slot {i}: {b:#x} became {a:#x}");
        }
    }
}
