//! What the dead leave behind, step by step, and how it is cleared.

use crate::common::memory;
use shmx::{Client, Server, SharedServer, StreamSpec};
#[cfg(target_os = "linux")]
use shmx_os::{LockByte, clock};
use shmx_os::{Region, RegionName};
use shmx_ring::readers;
use shmx_ring::sync::Ordering;
use shmx_ring::view::{HeaderView, ReaderView};
use shmx_testkit::unique;
#[cfg(target_os = "linux")]
use shmx_testkit::within;
#[cfg(target_os = "linux")]
use std::sync::Barrier;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

fn server(tag: &str) -> (SharedServer, Region) {
    let name = unique(tag);
    let builder = Server::builder(&name).slots(3).stream(StreamSpec::of::<u64>(1, "t"), 50);
    let server = builder.create().unwrap().into_shared();
    let region = Region::open(&RegionName::new(&name).unwrap()).unwrap();
    (server, region)
}

fn slot<'a>(server: &SharedServer, region: &'a Region, index: u32) -> &'a ReaderView {
    memory::view(region, server.layout().reader_slot(index).unwrap())
}

const fn newcomer(id: u64, now: u64) -> readers::Newcomer {
    readers::Newcomer { id, pid: 1, now, locked: true, verifies: false, every_frame: false }
}

/// A slot never shows a heartbeat without the tag that says that the reader holds a lock: whoever died there would
/// be taken for a reader of another implementation and keep the slot for ever.
#[test]
fn a_heartbeat_is_never_seen_without_its_tag() {
    let (server, region) = server("order");
    let header: &HeaderView = memory::view(&region, 0);
    let reader = slot(&server, &region, 0);
    let stop = AtomicBool::new(false);
    let rounds = std::thread::scope(|s| {
        let t = s.spawn(|| {
            let mut round = 0_u64;
            while !stop.load(Ordering::Relaxed) {
                round += 1;
                assert!(readers::attach(header, reader, &newcomer(round, round)).is_some());
                readers::detach(header, reader);
            }
            round
        });
        let (mut seen, end) = (0, Instant::now() + Duration::from_secs(20));
        let mut wrong = 0;
        while seen < 20_000 && Instant::now() < end {
            let before = reader.heartbeat.load(Ordering::Acquire);
            let tag = reader.ext_tag.load(Ordering::Acquire);
            if before != 0 && reader.heartbeat.load(Ordering::Acquire) == before {
                seen += 1;
                wrong += u32::from(tag != before);
            }
        }
        stop.store(true, Ordering::Relaxed);
        let rounds = t.join().unwrap();
        assert!(seen > 100, "the slot was hardly seen taken: {seen} times");
        assert_eq!(wrong, 0, "of {seen} looks");
        rounds
    });
    assert!(rounds > 100, "only {rounds} attachments");
}

/// Every state that a reader of ours can die in while it attaches or detaches is cleared, in time.
#[test]
#[cfg(target_os = "linux")]
fn a_reader_that_died_in_any_step_is_reaped() {
    let (server, region) = server("steps");
    // id, tag and heartbeat as a kill can leave them, and whether they show at once that the owner is dead.
    let states = [(0, 0, 0, false), (0, 9, 0, false), (9, 9, 0, true), (9, 9, 5, true)];
    for (index, &(id, tag, heartbeat, _)) in states.iter().enumerate() {
        let r = slot(&server, &region, index as u32);
        r.in_use.store(1, Ordering::Relaxed);
        r.reader_id.store(id, Ordering::Relaxed);
        r.ext_tag.store(tag, Ordering::Relaxed);
        r.heartbeat.store(heartbeat, Ordering::Relaxed);
    }
    let at_once: Vec<u32> = (0..).zip(states).filter(|(_, s)| s.3).map(|(i, _)| i).collect();
    assert_eq!(server.reap_dead_readers(), at_once);
    let mut later = Vec::new();
    assert!(within(Duration::from_secs(20), || {
        later.extend(server.reap_dead_readers());
        later.len() + at_once.len() == states.len()
    }));
    assert!(server.snapshot_readers().iter().all(|r| !r.in_use && r.reader_id == 0));
    // A reader of another implementation shows a heartbeat and no tag; it is left alone until time is asked for.
    let r = slot(&server, &region, 0);
    r.reader_id.store(9, Ordering::Relaxed);
    r.heartbeat.store(clock::ticks(), Ordering::Relaxed);
    r.in_use.store(1, Ordering::Relaxed);
    assert_eq!(server.reap_dead_readers(), [0_u32; 0]);
    assert_eq!(server.reap_stale_readers(Duration::from_secs(60)), [0_u32; 0]);
    assert!(within(Duration::from_secs(20), || server.reap_stale_readers(Duration::from_nanos(1)) == [0]));
    // A heartbeat that lies in the future is nobody's.
    r.reader_id.store(9, Ordering::Relaxed);
    r.heartbeat.store(u64::MAX / 2, Ordering::Relaxed);
    r.in_use.store(1, Ordering::Relaxed);
    assert_eq!(server.reap_dead_readers(), [0_u32; 0]);
    assert_eq!(server.reap_stale_readers(Duration::from_secs(60)), [0]);
}

/// An id that a neighbour wrote over a frame spoils that frame, and not the reader.
#[test]
fn a_reader_recovers_from_an_impossible_frame_id() {
    let (server, region) = server("id");
    let mut client = Client::open(server.name()).unwrap();
    let publish = || {
        let mut f = server.begin_frame().unwrap();
        f.append_stream(1, &[1_u64]).unwrap();
        f.publish_frame(0.0).unwrap()
    };
    for every in [false, true] {
        let id = publish();
        let header: &HeaderView = memory::view(&region, 0);
        for slot in 0..server.layout().slots() {
            let at = server.layout().frame_slot(slot).unwrap();
            let head: &shmx_ring::view::FrameView = memory::view(&region, at);
            if head.frame_id.load(Ordering::Relaxed) == id {
                head.frame_id.store(u64::MAX, Ordering::Relaxed);
            }
        }
        header.frame_seq.store(u64::MAX, Ordering::Relaxed);
        let take = |client: &mut Client| {
            let wait = Duration::from_millis(50);
            if every { client.next(wait) } else { client.wait(wait) }.unwrap().map(|v| v.frame_id())
        };
        assert_eq!(take(&mut client), Some(u64::MAX));
        let id = publish();
        assert_eq!(take(&mut client), Some(id));
    }
}

/// The header's count of readers is wrong after a kill between two steps; it does not stay so.
#[test]
#[cfg(target_os = "linux")]
fn a_wrong_count_of_readers_is_mended() {
    let (server, region) = server("count");
    let header: &HeaderView = memory::view(&region, 0);
    let client = Client::open(server.name()).unwrap();
    for wrong in [0, 5] {
        header.readers_connected.store(wrong, Ordering::Relaxed);
        server.reap_dead_readers();
        assert_eq!(server.readers_connected(), wrong, "not before it was seen for a while");
        assert!(within(Duration::from_secs(20), || {
            server.reap_dead_readers();
            server.readers_connected() == 1
        }));
    }
    drop(client);
    assert_eq!(server.readers_connected(), 0);
    let lock = LockByte::Reader(0);
    assert!(region.try_lock(lock).unwrap(), "and the lock is free");
}

/// The counters in the reader slot, which an inspector shows, are those of the client, whatever happened last.
#[test]
fn the_inspector_sees_the_clients_own_counts() {
    use shmx::error::ReadError;
    use shmx::{Hold, Inspector, Verify};
    let (server, region) = server("counts");
    let inspector = Inspector::open(server.name()).unwrap();
    let mut clients: Vec<Client> = [Hold::Lease, Hold::Copy]
        .into_iter()
        .map(|hold| Client::options().hold(hold).verify(Verify::Always).open(server.name()).unwrap())
        .collect();
    let publish = |value: u64| {
        let mut f = server.begin_frame().unwrap();
        f.append_stream(1, &[value; 8]).unwrap();
        let slot = f.slot();
        f.publish_frame(0.0).unwrap();
        slot
    };
    let spoil = |slot: u32| {
        let at = server.layout().frame_slot(slot).unwrap() + 64 + 40;
        memory::bytes(&region)[at].fetch_xor(1, Ordering::Relaxed);
    };
    let seen = |client: &Client| {
        let info = inspector.snapshot_readers()[client.reader_index().unwrap() as usize];
        let e = info.extension.expect("attached");
        assert_eq!(e.pid, std::process::id());
        [e.delivered, e.missed, e.rejected]
    };
    let agree = |clients: &[Client], expected: [u64; 3]| {
        for c in clients {
            let stats = c.stats();
            assert_eq!([stats.delivered, stats.missed, stats.rejected], expected);
            assert_eq!(seen(c), expected);
        }
    };
    agree(&clients, [0, 0, 0]);
    let take_next =
        |clients: &mut [Client]| clients.iter_mut().map(|c| c.try_next().map(|f| f.is_some())).collect::<Vec<_>>();
    for v in 0..5 {
        publish(v);
    }
    assert!(take_next(&mut clients).iter().all(|r| *r == Ok(true)));
    agree(&clients, [1, 2, 0]);
    assert!(clients.iter_mut().all(|c| c.latest().is_ok_and(|v| v.is_some())));
    agree(&clients, [2, 3, 0]);
    // A spoiled frame, and three lost before it.
    for v in 0..3 {
        publish(v);
    }
    let slots = [publish(9), publish(9), publish(9)];
    slots.into_iter().for_each(spoil);
    for result in take_next(&mut clients) {
        assert!(matches!(result, Err(ReadError::Checksum { .. })), "{result:?}");
    }
    agree(&clients, [2, 6, 1]);
    assert!(clients.iter_mut().all(|c| c.latest().is_err()));
    agree(&clients, [2, 6, 2]);
    // Neither looking nor waiting in vain changes a count.
    publish(1);
    assert!(clients.iter_mut().all(|c| c.latest().is_ok()));
    assert!(clients.iter_mut().all(|c| c.wait(Duration::from_millis(2)).unwrap().is_none()));
    agree(&clients, [3, 8, 2]);
}

/// What is there and holds no lock may be in use by another implementation: it is replaced only when asked.
#[test]
#[cfg(target_os = "linux")]
fn what_holds_no_lock_is_replaced_only_when_asked() {
    use shmx::error::CreateError;
    let golden = include_bytes!("../../shmx-abi/tests/golden/demo.bin").as_slice();
    for (bytes, is_region) in [(golden, true), (b"no region at all".as_slice(), false)] {
        let name = unique("made");
        let path = format!("/dev/shm/{name}");
        std::fs::write(&path, bytes).unwrap();
        match Server::builder(&name).create() {
            Err(CreateError::ReferenceMade { name: n }) if is_region => assert_eq!(n, name),
            Err(CreateError::NotARegion { name: n }) if !is_region => assert_eq!(n, name),
            other => panic!("{other:?}"),
        }
        assert_eq!(std::fs::read(&path).unwrap(), bytes, "nothing was touched");
        // Somebody maps it: the object lives on for them, unchanged, while the name leads to the new one.
        let old = Region::open(&RegionName::new(&name).unwrap()).unwrap();
        let server = Server::builder(&name).replace(true).create().unwrap();
        assert!(!old.is_current());
        let kept: Vec<u8> = memory::bytes(&old).iter().map(|b| b.load(Ordering::Relaxed)).collect();
        assert_eq!(kept, bytes);
        drop(server);
        assert!(!std::fs::exists(&path).unwrap());
    }
}

/// A free slot whose last owner is still letting go of the lock can be had: the reader looks again.
#[test]
#[cfg(target_os = "linux")]
fn a_slot_that_is_just_left_can_be_had() {
    let name = unique("left");
    let _server = Server::builder(&name).reader_slots(1).create().unwrap();
    // The lock is free after a millisecond; a busy machine may keep it longer than a reader looks, so there are tries.
    let had = within(Duration::from_secs(60), || {
        let leaving = Region::open(&RegionName::new(&name).unwrap()).unwrap();
        assert!(leaving.try_lock(LockByte::Reader(0)).unwrap());
        std::thread::scope(|s| {
            s.spawn(|| {
                std::thread::sleep(Duration::from_millis(1));
                leaving.unlock(LockByte::Reader(0));
            });
            Client::open(&name).is_ok_and(|c| c.reader_index() == Some(0))
        })
    });
    assert!(had);
    // A lock that stays taken is not waited for.
    let stays = Region::open(&RegionName::new(&name).unwrap()).unwrap();
    assert!(stays.try_lock(LockByte::Reader(0)).unwrap());
    assert!(matches!(Client::open(&name), Err(shmx::error::OpenError::ReaderLock { cause: None, .. })));
    let without = Client::options().require_slot(false).open(&name).unwrap();
    assert_eq!(without.reader_index(), None);
}

/// Threads that find no free slot at the same moment clear leases one after the other. With a reader's lock in the
/// hands of both, the first let it go, a reader came in and leased, and the second cleared the new lease.
///
/// Many slots make the time of clearing long, and three threads on few processors seldom clear in step: without the
/// order between the threads seven of eight runs failed, most of them within a tenth of a second.
#[test]
#[cfg(target_os = "linux")]
fn threads_that_clear_leases_leave_a_live_readers_alone() {
    use shmx_ring::view::FrameView;
    const SLOTS: u32 = 2000;
    let name = unique("clearing");
    let builder = Server::builder(&name).slots(SLOTS).reader_slots(1).frame_bytes(64).control_bytes(0);
    let server = builder.stream(StreamSpec::of::<u64>(1, "t"), 1).create().unwrap().into_shared();
    let region = Region::open(&RegionName::new(&name).unwrap()).unwrap();
    let header: &HeaderView = memory::view(&region, 0);
    let reader = slot(&server, &region, 0);
    let lease = |i: u32| {
        let at = server.layout().frame_slot(i).unwrap();
        &memory::view::<FrameView>(&region, at).ext_lease[0]
    };
    let lock = LockByte::Reader(0);
    let (start, end) = (Barrier::new(4), Barrier::new(4));
    let over = AtomicBool::new(false);
    let (mut came, mut lost) = (0, 0);
    std::thread::scope(|s| {
        for _ in 0..3 {
            s.spawn(|| {
                loop {
                    start.wait();
                    if over.load(Ordering::Relaxed) {
                        return;
                    }
                    drop(server.begin_frame());
                    end.wait();
                }
            });
        }
        let until = Instant::now() + Duration::from_millis(700);
        while Instant::now() < until && lost == 0 {
            // Bits of nobody on all slots: no slot is free, so the threads clear them.
            (0..SLOTS).for_each(|i| lease(i).store(1, Ordering::Relaxed));
            start.wait();
            // A reader comes as soon as it can, step by step as a client does, and leases what is cleared last.
            let patience = Instant::now() + Duration::from_secs(20);
            let mut attached = false;
            while !attached && Instant::now() < patience {
                std::thread::yield_now();
                attached = region.try_lock(lock).unwrap();
            }
            if attached {
                assert!(readers::attach(header, reader, &newcomer(77, clock::ticks())).is_some());
                lease(SLOTS - 1).fetch_or(1, Ordering::SeqCst);
                came += 1;
            }
            end.wait();
            if attached {
                lost += u32::from(lease(SLOTS - 1).load(Ordering::SeqCst) & 1 == 0);
                lease(SLOTS - 1).fetch_and(!1, Ordering::SeqCst);
                readers::detach(header, reader);
                region.unlock(lock);
            }
        }
        over.store(true, Ordering::Relaxed);
        start.wait();
    });
    assert_eq!(lost, 0, "leases of a live reader cleared, of {came}");
    assert!(came > 0, "no reader ever came in between");
}

/// Another server that re-initialised the region in place has the same object under the same name: both are its own.
#[test]
fn a_server_leaves_a_region_alone_that_was_taken_over_in_place() {
    use shmx::error::BeginError;
    let (server, region) = server("place");
    let header: &HeaderView = memory::view(&region, 0);
    let (expected, found) = (server.session_id(), server.session_id() ^ 1);
    header.session_id.store(found, Ordering::Relaxed);
    let features = header.ext_features.load(Ordering::Relaxed);
    assert_eq!(server.begin_frame().err(), Some(BeginError::SessionLost { found, expected }));
    drop(server);
    assert_eq!(header.ext_features.load(Ordering::Relaxed), features, "not marked as closed");
    // On Windows a name ends with its last handle whatever anybody does.
    assert!(cfg!(windows) || region.is_current() && region.remove().unwrap());
}

/// The time of grace of one reader that is just attaching is not counted against a later one in the same slot.
#[test]
#[cfg(target_os = "linux")]
fn the_time_of_grace_is_each_readers_own() {
    let (server, region) = server("grace");
    let r = slot(&server, &region, 0);
    // A reader of another implementation in the middle of attaching, and then with its first sign of life.
    r.in_use.store(1, Ordering::Relaxed);
    let seen = clock::ticks();
    assert_eq!(server.reap_dead_readers(), [0_u32; 0]);
    r.reader_id.store(5, Ordering::Relaxed);
    r.heartbeat.store(clock::ticks(), Ordering::Relaxed);
    assert_eq!(server.reap_dead_readers(), [0_u32; 0]);
    assert!(within(Duration::from_secs(20), || clock::ticks() - seen > 1_100_000_000));
    assert_eq!(server.reap_dead_readers(), [0_u32; 0]);
    // It has left, unseen, and the next one is in the middle of attaching.
    r.heartbeat.store(0, Ordering::Relaxed);
    r.reader_id.store(0, Ordering::Relaxed);
    assert_eq!(server.reap_dead_readers(), [0_u32; 0], "at the first look");
    assert!(server.snapshot_readers()[0].in_use);
}

/// Whoever tidies up after a dead server is not taken for a live one, and of two that do so at once both come through.
#[test]
#[cfg(target_os = "linux")]
fn a_creator_and_a_remover_share_what_the_dead_left() {
    use shmx::Removed;
    use shmx::error::{CreateError, OpenError, RemoveError};
    use shmx_os::OpenError as NoObject;
    let dead = server("dead");
    let left: Vec<u8> = memory::bytes(&dead.1).iter().map(|b| b.load(Ordering::Relaxed)).collect();
    drop(dead);
    let (mut first, start) = (0, Barrier::new(2));
    // A remover that meets the new server takes a while to believe that it lives, so rounds differ in length.
    let (least, most) = (Instant::now() + Duration::from_secs(1), Instant::now() + Duration::from_secs(60));
    while first == 0 || Instant::now() < least {
        assert!(Instant::now() < most, "the remover was never first");
        let name = unique("share");
        std::fs::write(format!("/dev/shm/{name}"), &left).unwrap();
        let removed = std::thread::scope(|s| {
            let remover = s.spawn(|| {
                start.wait();
                shmx::remove(&name, false)
            });
            start.wait();
            // On a busy machine the remover may be kept waiting with the lock in its hand.
            let mut begun = Instant::now();
            let made = loop {
                match Server::builder(&name).create() {
                    Ok(made) => break made,
                    Err(CreateError::HeldByLiveServer { .. })
                        if begun.elapsed() >= Duration::from_millis(100) && Instant::now() < most =>
                    {
                        begun = Instant::now();
                    }
                    Err(e) => panic!("nobody lives there: {e}"),
                }
            };
            let removed = remover.join().unwrap();
            // The region is there and serves, whoever was first.
            Client::open(&name).unwrap();
            drop(made);
            removed
        });
        match removed {
            Ok(Removed::Dead) => first += 1,
            Ok(Removed::Nothing)
            | Err(RemoveError::HeldByLiveServer { .. } | RemoveError::Open(NoObject::NotFound { .. })) => {}
            other => panic!("{other:?}"),
        }
        assert!(matches!(Client::open(&name), Err(OpenError::Os(NoObject::NotFound { .. }))));
    }
}

/// Neither a creator nor a remover touches what is no shared-memory object, even when asked to.
#[test]
#[cfg(target_os = "linux")]
fn links_and_directories_are_never_replaced() {
    use shmx::error::{CreateError, RemoveError};
    let (link, directory) = (unique("link"), unique("directory"));
    let path = |name: &str| format!("/dev/shm/{name}");
    std::os::unix::fs::symlink("/nowhere", path(&link)).unwrap();
    std::fs::create_dir(path(&directory)).unwrap();
    for name in [&link, &directory] {
        let made = Server::builder(name).replace(true).create();
        assert!(matches!(&made, Err(CreateError::NotAnObject { name: n }) if n == name), "{made:?}");
        let removed = shmx::remove(name, true);
        assert!(matches!(&removed, Err(RemoveError::NotAnObject { name: n }) if n == name), "{removed:?}");
    }
    assert_eq!(std::fs::read_link(path(&link)).unwrap(), std::path::Path::new("/nowhere"));
    std::fs::remove_file(path(&link)).unwrap();
    std::fs::remove_dir(path(&directory)).unwrap();
}
