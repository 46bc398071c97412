//! Frames as an asynchronous stream: order, back-pressure, cancellation, the end, and what an idle stream costs.

use crate::common::{self, memory};
use futures::task::SpawnExt;
use futures::{FutureExt, StreamExt};
use shmx::error::{ReadError, ServerEnd};
use shmx::{Client, FrameStream, Order, OwnedFrame, Server, SharedServer, StreamSpec};
use shmx_os::{Region, RegionName};
use shmx_ring::sync::Ordering;
use shmx_ring::view::HeaderView;
use shmx_testkit::unique;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::Thread;
use std::time::{Duration, Instant};

const LIMIT: Duration = Duration::from_secs(30);

fn serve(slots: u32) -> (SharedServer, String) {
    let name = unique("frames");
    (serve_as(&name, slots), name)
}

fn serve_as(name: &str, slots: u32) -> SharedServer {
    Server::builder(name).slots(slots).stream(StreamSpec::of::<u64>(1, "t"), 50).create().unwrap().into_shared()
}

fn publish(server: &SharedServer, value: u64) {
    let mut f = server.begin_frame().unwrap();
    f.append_stream(1, &[value; 50]).unwrap();
    f.publish_frame(0.0).unwrap();
}

fn stream(name: &str, order: Order) -> FrameStream {
    Client::open(name).unwrap().into_stream(order).unwrap()
}

fn value(taken: Option<Result<OwnedFrame, ReadError>>) -> u64 {
    let view = taken.expect("the stream goes on").expect("a frame");
    let values = view.get::<u64>(1).unwrap();
    assert_eq!(values, [values[0]; 50]);
    values[0]
}

/// Wakes a thread, and counts.
struct Unpark(Thread, AtomicU64);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.1.fetch_add(1, Ordering::Relaxed);
        self.0.unpark();
    }
}

/// The smallest executor: a task on this thread.
fn block_on<F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    let waker = Waker::from(Arc::new(Unpark(std::thread::current(), AtomicU64::new(0))));
    let end = Instant::now() + LIMIT;
    loop {
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(done) => return done,
            Poll::Pending => {
                let left = end.saturating_duration_since(Instant::now());
                assert!(!left.is_zero(), "nobody wakes the task");
                std::thread::park_timeout(left);
            }
        }
    }
}

fn poll_once(stream: &mut FrameStream, waker: &Waker) -> Poll<Option<Result<OwnedFrame, ReadError>>> {
    use futures::Stream;
    Pin::new(stream).poll_next(&mut Context::from_waker(waker))
}

#[test]
fn every_frame_comes_in_order_and_the_end_is_told_once() {
    let (server, name) = serve(8);
    let mut frames = stream(&name, Order::Every);
    std::thread::scope(|s| {
        let producer = s.spawn(move || {
            for v in 0..200 {
                // Never faster than the reader: one frame at a time, by its own sign of life.
                while server.snapshot_readers()[0].last_frame_seen < v {
                    std::thread::yield_now();
                }
                publish(&server, v);
            }
        });
        block_on(async {
            for v in 0..200 {
                assert_eq!(value(frames.next().await), v);
            }
            assert_eq!(frames.next().await.unwrap().err(), Some(ReadError::ServerGone { end: ServerEnd::Closed }));
            assert!(frames.next().await.is_none());
            assert!(frames.next().await.is_none(), "and stays so");
        });
        producer.join().unwrap();
    });
    assert!(futures::stream::FusedStream::is_terminated(&frames));
    let stats = frames.client().stats();
    assert_eq!((stats.delivered, stats.missed, stats.rejected), (200, 0, 0));
}

#[test]
fn the_newest_frame_skips_and_counts() {
    let (server, name) = serve(4);
    let mut frames = stream(&name, Order::Newest);
    for v in 0..10 {
        publish(&server, v);
    }
    assert_eq!(value(block_on(frames.next())), 9);
    assert_eq!(frames.client().stats().missed, 9);
    assert!(frames.next().now_or_never().is_none(), "not the same frame again");
    publish(&server, 10);
    assert_eq!(value(block_on(frames.next())), 10);
}

#[test]
fn nothing_is_leased_ahead_of_demand_and_a_dropped_future_loses_nothing() {
    let (server, name) = serve(8);
    let mut frames = stream(&name, Order::Every);
    for round in 0..20 {
        // Given up while it waits.
        assert!(frames.next().now_or_never().is_none());
        for v in 0..3 {
            publish(&server, round * 3 + v);
        }
        // The waiter has been rung for; it must not take anything.
        assert_eq!(server.snapshot_readers()[0].leased_slots, 0);
        for v in 0..3 {
            assert_eq!(value(block_on(frames.next())), round * 3 + v);
        }
    }
    let held = [(), ()].map(|()| {
        publish(&server, 7);
        block_on(frames.next()).unwrap().unwrap()
    });
    assert_eq!(server.snapshot_readers()[0].leased_slots, 2, "what the caller holds, and no more");
    drop(held);
    assert_eq!(frames.client().stats().missed, 0);
}

#[test]
fn an_idle_stream_sleeps_and_a_frame_wakes_it_once() {
    let (server, name) = serve(3);
    let mut frames = stream(&name, Order::Newest);
    let count = Arc::new(Unpark(std::thread::current(), AtomicU64::new(0)));
    let waker = Waker::from(count.clone());
    let woken = || count.1.load(Ordering::Relaxed);
    for round in 1..=20 {
        assert!(poll_once(&mut frames, &waker).is_pending());
        assert!(server.snapshot_readers()[0].extension.unwrap().waiting, "the reader shows that it waits");
        std::thread::sleep(Duration::from_millis(25)); // longer than one look at the server's life
        assert_eq!(woken(), round - 1, "woken for nothing");
        publish(&server, round);
        let end = Instant::now() + LIMIT;
        while woken() < round {
            assert!(Instant::now() < end, "never woken");
            std::thread::park_timeout(Duration::from_millis(50));
        }
        assert!(matches!(poll_once(&mut frames, &waker), Poll::Ready(Some(Ok(_)))));
        assert!(!server.snapshot_readers()[0].extension.unwrap().waiting);
    }
    assert_eq!(woken(), 20);
}

/// The waker of the last poll counts, as the contract of `Future` has it.
#[test]
fn a_task_that_moved_is_woken_where_it_is() {
    let (server, name) = serve(3);
    let mut frames = stream(&name, Order::Newest);
    let first = Arc::new(Unpark(std::thread::current(), AtomicU64::new(0)));
    let second = Arc::new(Unpark(std::thread::current(), AtomicU64::new(0)));
    assert!(poll_once(&mut frames, &Waker::from(first.clone())).is_pending());
    assert!(poll_once(&mut frames, &Waker::from(second.clone())).is_pending());
    publish(&server, 1);
    let end = Instant::now() + LIMIT;
    while second.1.load(Ordering::Relaxed) == 0 {
        assert!(Instant::now() < end, "never woken");
        std::thread::park_timeout(Duration::from_millis(50));
    }
    assert_eq!(first.1.load(Ordering::Relaxed), 0);
}

#[cfg(target_os = "linux")]
fn threads() -> usize {
    std::fs::read_dir("/proc/self/task").unwrap().count()
}

/// A thread that was joined stays listed for a moment.
#[cfg(target_os = "linux")]
fn until_threads_are(expected: usize) {
    let end = Instant::now() + LIMIT;
    while threads() != expected {
        assert!(Instant::now() < end, "{} threads, not {expected}", threads());
        std::thread::yield_now();
    }
}

/// In a child process, since the other tests have waiters too.
#[test]
#[cfg(target_os = "linux")]
fn a_dropped_stream_leaves_no_thread_and_no_slot() {
    const MARK: &str = "SHMX_FRAMES_ALONE";
    if std::env::var_os(MARK).is_none() {
        let args = ["frames::a_dropped_stream_leaves_no_thread_and_no_slot", "--exact", "--test-threads=1"];
        // Its summary is not one of ours, so it goes nowhere.
        let out = common::this_program().args(args).env(MARK, "1").output().unwrap();
        assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
        return;
    }
    let (server, name) = serve(3);
    let before = threads();
    for polled in [false, true, true] {
        let mut frames = stream(&name, Order::Every);
        until_threads_are(before + 1);
        if polled {
            assert!(poll_once(&mut frames, Waker::noop()).is_pending());
        }
        drop(frames);
        assert_eq!(server.readers_connected(), 0, "at once");
        until_threads_are(before);
    }
    let client = stream(&name, Order::Every).into_client();
    until_threads_are(before);
    assert_eq!(server.readers_connected(), 1, "the client goes on");
    drop(client);
    // A task that owns its stream and is dropped by its waker.
    let frames = stream(&name, Order::Every);
    let (sent, received) = std::sync::mpsc::channel();
    struct Last(std::sync::Mutex<Option<(FrameStream, std::sync::mpsc::Sender<()>)>>);
    impl Wake for Last {
        fn wake(self: Arc<Self>) {
            if let Some((frames, sent)) = self.0.lock().unwrap().take() {
                drop(frames);
                sent.send(()).unwrap();
            }
        }
    }
    let last = Arc::new(Last(std::sync::Mutex::new(Some((frames, sent)))));
    let waker = Waker::from(last.clone());
    let pending = last.0.lock().unwrap().as_mut().is_some_and(|(f, _)| poll_once(f, &waker).is_pending());
    assert!(pending);
    publish(&server, 1);
    received.recv_timeout(LIMIT).unwrap();
    until_threads_are(before);
    assert_eq!(server.readers_connected(), 0);
}

#[test]
fn tasks_of_an_executor_share_a_server_that_dies_and_comes_back() {
    let (server, name) = serve(8);
    let pool = futures::executor::ThreadPool::builder().pool_size(2).create().unwrap();
    let tasks: Vec<_> = [Order::Newest, Order::Every, Order::Every]
        .into_iter()
        .map(|order| {
            let mut frames = stream(&name, order);
            let task = async move {
                let (mut seen, mut sessions) = (0, 0);
                loop {
                    match frames.next().await {
                        Some(Ok(view)) => {
                            let v = view.get::<u64>(1).unwrap();
                            assert_eq!(v, [v[0]; 50]);
                            seen += 1;
                        }
                        Some(Err(ReadError::ServerGone { .. })) => sessions += 1,
                        Some(Err(ReadError::Lapped { .. })) => {}
                        Some(Err(e)) => panic!("{e}"),
                        None if sessions == 2 => return seen,
                        None => {
                            let mut client = frames.into_client();
                            while client.reopen().is_err() {
                                std::thread::sleep(Duration::from_millis(1));
                            }
                            frames = client.into_stream(order).unwrap();
                        }
                    }
                }
            };
            pool.spawn_with_handle(task).unwrap()
        })
        .collect();
    let mut server = Some(server);
    for _ in 0..2 {
        let s = server.take().unwrap_or_else(|| serve_as(&name, 8));
        let end = Instant::now() + LIMIT;
        while s.readers_connected() < 3 {
            assert!(Instant::now() < end, "{} of 3 streams came", s.readers_connected());
            std::thread::yield_now();
        }
        for v in 0..500 {
            publish(&s, v);
        }
    }
    for task in tasks {
        assert!(futures::executor::block_on(task) >= 2);
    }
}

/// A region that announces no doorbell is polled, and its session may change in place.
#[test]
fn without_a_doorbell_the_waiter_polls() {
    use shmx::abi::extension::Features;
    let (server, name) = serve(3);
    let region = Region::open(&RegionName::new(&name).unwrap()).unwrap();
    let header: &HeaderView = memory::view(&region, 0);
    header.ext_features.fetch_and(!(Features::DOORBELL as u32), Ordering::Relaxed);
    let mut frames = stream(&name, Order::Every);
    std::thread::scope(|s| {
        s.spawn(|| {
            for v in 0..50 {
                let end = Instant::now() + LIMIT;
                while !server.snapshot_readers()[0].extension.is_some_and(|e| e.waiting) {
                    assert!(Instant::now() < end, "the stream does not wait");
                    std::thread::yield_now();
                }
                publish(&server, v);
                while server.snapshot_readers()[0].last_frame_seen <= v {
                    assert!(Instant::now() < end, "the frame is not taken");
                    std::thread::yield_now();
                }
            }
        });
        block_on(async {
            for v in 0..50 {
                assert_eq!(value(frames.next().await), v);
            }
        });
    });
    assert_eq!(header.ext_doorbell.load(Ordering::Relaxed), 0, "the doorbell is left alone");
    // Polled once more, then somebody re-initialises the region.
    let session = header.session_id.load(Ordering::Relaxed);
    let mut next = Box::pin(poll_fn(|cx| frames.poll_next_unpin(cx)));
    assert!((&mut next).now_or_never().is_none());
    header.session_id.store(session ^ 1, Ordering::Relaxed);
    assert_eq!(block_on(next).unwrap().err(), Some(ReadError::SessionChanged));
    assert!(block_on(frames.next()).is_none());
    header.session_id.store(session, Ordering::Relaxed);
}

/// With a client that reconnects, the end of a server is no end of the stream.
#[test]
fn a_stream_goes_over_to_a_successor() {
    let (server, name) = serve(4);
    let client = Client::options().reconnect(true).open(&name).unwrap();
    let mut frames = client.into_stream(Order::Every).unwrap();
    publish(&server, 1);
    assert_eq!(value(block_on(frames.next())), 1);
    let producer = std::thread::spawn(move || {
        drop(server);
        let server = serve_as(&name, 4);
        let end = Instant::now() + LIMIT;
        while server.readers_connected() == 0 {
            assert!(Instant::now() < end, "the stream does not come over");
            std::thread::yield_now();
        }
        publish(&server, 2);
        server
    });
    assert_eq!(value(block_on(frames.next())), 2);
    assert_eq!(frames.client().reconnects(), 1);
    drop(producer.join().unwrap());
}
