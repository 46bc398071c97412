//! The facade from many threads at once: everything that a server and its clients guard by locks and atomics of their
//! own process. Run natively for content, and under ThreadSanitizer (`cargo xtask tsan`) for order.

use crate::common;
use shmx::error::{BeginError, SendError};
use shmx::{Client, Frame, Hold, Inspector, OwnedFrame, Server, StreamSpec};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Barrier, mpsc};
use std::thread;
use std::time::{Duration, Instant};

const PRODUCERS: u64 = 3;
const FRAMES: u64 = 400;
const CLIENTS: u64 = 3;
const MESSAGES: u64 = 60;

/// Generous: other processes may have the processor.
fn deadline() -> Instant {
    Instant::now() + Duration::from_secs(120)
}

fn whole(view: &OwnedFrame) -> u64 {
    let value = view.get::<u64>(1).unwrap()[0];
    let rest = view.get::<u64>(2).unwrap();
    assert_eq!(rest.len() as u64, value % 40);
    assert!(rest.iter().all(|v| *v == value), "a frame is of one producer");
    value
}

#[test]
fn everything_at_once_from_many_threads() {
    let name = common::unique("threads");
    // Slots for every frame that is held, and for every producer.
    let builder = Server::builder(&name).slots(12).directory_bytes(8192).frame_bytes(1024);
    let builder = builder.stream(StreamSpec::of::<u64>(1, "value"), 1).stream(StreamSpec::of::<u64>(2, "rest"), 40);
    let server = builder.create().unwrap().into_shared();
    let (producing, until) = (AtomicU64::new(PRODUCERS), deadline());
    let delivered = AtomicU64::new(0);
    let heard = thread::scope(|s| {
        let (server, name, producing, delivered) = (&server, &name, &producing, &delivered);
        for p in 0..PRODUCERS {
            s.spawn(move || {
                for n in 0..FRAMES {
                    let value = n * PRODUCERS + p;
                    let mut frame = loop {
                        match server.begin_frame() {
                            Ok(frame) => break frame,
                            Err(BeginError::NoFreeSlot { .. }) => thread::yield_now(),
                            Err(e) => panic!("{e}"),
                        }
                        assert!(Instant::now() < until, "a slot becomes free");
                    };
                    frame.append_stream(1, &[value]).unwrap();
                    frame.append_stream(2, &vec![value; (value % 40) as usize]).unwrap();
                    if n % 50 == 7 {
                        frame.abandon();
                    } else {
                        frame.publish_frame(value as f64).unwrap();
                    }
                }
                producing.fetch_sub(1, Ordering::Relaxed);
            });
        }
        // Frames are taken by one thread and looked at and missed by another.
        let (pass, passed) = mpsc::sync_channel::<OwnedFrame>(2);
        s.spawn(move || passed.into_iter().for_each(|view| assert!(whole(&view) < FRAMES * PRODUCERS)));
        for c in 0..CLIENTS {
            let pass = pass.clone();
            s.spawn(move || {
                let mut options = Client::options().hold(Hold::Lease);
                if c != 1 {
                    options = options.copy_up_to(0);
                }
                let mut client = options.open(name).unwrap();
                let (mut last, mut sent) = (0, 0);
                loop {
                    let ended = producing.load(Ordering::Relaxed) == 0;
                    let got = if c == 0 { client.try_next() } else { client.wait(Duration::from_millis(2)) };
                    if let Some(view) = got.unwrap().map(Frame::keep) {
                        assert!(view.frame_id() > last, "forward");
                        last = view.frame_id();
                        whole(&view);
                        if last % 3 == c {
                            pass.send(view).unwrap();
                        }
                        // Often the same slot once more, while the other thread may be ending its lease of it. Not
                        // always: with several producers a frame with a higher id need not be the newest.
                        if let Some(lent) = client.latest().unwrap() {
                            last = last.max(lent.frame_id());
                            let value = lent.get::<u64>(1).unwrap()[0];
                            assert!(lent.get::<u64>(2).unwrap().iter().all(|v| *v == value));
                        }
                    } else if ended && sent == MESSAGES {
                        break;
                    }
                    if sent < MESSAGES {
                        match client.control_send(0x3000 + c as u32, &sent.to_ne_bytes()) {
                            Ok(()) => sent += 1,
                            Err(SendError::Full) => {}
                            Err(e) => panic!("{e}"),
                        }
                    }
                    if last % 64 == 0 {
                        assert!(client.directory().unwrap().streams.len() >= 2);
                    }
                    assert!(Instant::now() < until, "{} of {MESSAGES} messages sent", sent);
                }
                delivered.fetch_add(client.stats().delivered, Ordering::Relaxed);
            });
        }
        drop(pass);
        let growing = AtomicBool::new(true);
        thread::scope(|t| {
            let growing = &growing;
            t.spawn(move || {
                for id in 100..130 {
                    server.add_stream(StreamSpec::of::<u8>(id, "late")).unwrap();
                    let inspector = Inspector::open(name).unwrap();
                    assert!(inspector.directory().unwrap().streams.len() >= 2);
                    drop((inspector.snapshot_readers(), inspector.latest().unwrap()));
                    thread::yield_now();
                }
                growing.store(false, Ordering::Relaxed);
            });
            let mut next = [0_u64; CLIENTS as usize];
            while next.iter().sum::<u64>() < CLIENTS * MESSAGES || growing.load(Ordering::Relaxed) {
                let batch = server.poll_control(5);
                assert!(batch.damaged.is_empty());
                for m in batch.messages {
                    let of = &mut next[m.ty as usize - 0x3000];
                    assert_eq!(m.data, of.to_ne_bytes(), "in order");
                    *of += 1;
                }
                assert!(server.reap_dead_readers().is_empty(), "all readers live");
                drop((server.snapshot_readers(), server.frames_published(), server.directory()));
                assert!(Instant::now() < until, "{next:?} messages heard");
            }
            next.iter().sum::<u64>()
        })
    });
    assert_eq!(heard, CLIENTS * MESSAGES);
    let abandoned = (0..FRAMES).filter(|n| n % 50 == 7).count() as u64;
    assert_eq!(server.frames_published(), PRODUCERS * (FRAMES - abandoned));
    assert!(delivered.load(Ordering::Relaxed) >= CLIENTS, "every client saw frames");
    assert_eq!(server.readers_connected(), 0);
    assert_eq!(server.directory().streams.len(), 32);
}

/// Threads that begin more frames than there are slots are told how many are leased and how many are being written.
#[test]
fn threads_without_a_slot_are_told_who_has_them() {
    let name = common::unique("noslot");
    let builder = Server::builder(&name).slots(4).stream(StreamSpec::of::<u64>(1, "tick"), 100);
    let server = builder.create().unwrap().into_shared();
    common::small::publish(&server, 1);
    let mut client = common::small::leasing(&name);
    let leased = client.latest().unwrap().unwrap();
    assert!(leased.is_leased());
    let (begun, done) = (Barrier::new(4), Barrier::new(4));
    thread::scope(|s| {
        for _ in 0..3 {
            s.spawn(|| {
                let frame = server.begin_frame();
                begun.wait();
                done.wait();
                let mut frame = frame.unwrap();
                frame.append_stream(1, &[7_u64]).unwrap();
                frame.publish_frame(0.0).unwrap();
            });
        }
        begun.wait();
        let full = server.begin_frame().map(|f| f.slot());
        done.wait();
        let Err(BeginError::NoFreeSlot { leased: 1, writing: 3, holders }) = &full else { panic!("{full:?}") };
        let reader = server.snapshot_readers()[0].reader_id;
        assert_eq!((holders.len(), holders[0].reader_id, holders[0].leased), (1, reader, 1));
    });
    assert_eq!(server.frames_published(), 4);
    drop(leased);
    // All slots can be had again.
    let frames: Vec<_> = (0..3).map(|_| server.begin_frame().unwrap()).collect();
    assert_eq!(frames.len(), 3);
}
