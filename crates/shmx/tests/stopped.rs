//! Producers that stop at the worst place, frames that are refused or lost, and what readers do then.

use crate::common::{self, LIMIT, Other, WORDS, unique};
use shmx::error::{ReadError, ServerEnd};
use shmx::{Client, Frame, Hold, Inspector, Server, SharedServer, Start, Tap, Verify};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

const GONE: ReadError = ReadError::ServerGone { end: ServerEnd::Closed };

fn serve(slots: u32) -> (SharedServer, String) {
    let (server, name) = common::serve("stopped", slots);
    (server.into_shared(), name)
}

/// Frames of 400 bytes, which are leased by default.
fn publish(server: &SharedServer, value: u64) -> u64 {
    let mut frame = server.begin_frame().unwrap();
    frame.append_stream(WORDS, &[value; 50]).unwrap();
    frame.publish_frame(0.0).unwrap()
}

fn id(taken: Result<Option<Frame<'_>>, ReadError>) -> Option<u64> {
    taken.unwrap().map(|view| view.frame_id())
}

/// A reader that compares checksums.
fn verifying(name: &str) -> Client {
    Client::options().verify(Verify::Always).open(name).unwrap()
}

#[test]
fn a_refused_newest_frame_is_told_once_and_does_not_hide_the_end() {
    let (server, name) = serve(3);
    let mut client = verifying(&name);
    publish(&server, 7);
    Other::of(&server).slot(0).checksum.fetch_xor(1, Ordering::Relaxed);
    assert!(matches!(client.wait(LIMIT), Err(ReadError::Checksum { frame_id: 1, .. })));
    assert!(client.try_wait().unwrap().is_none());
    publish(&server, 8);
    assert_eq!(id(client.wait(LIMIT)), Some(2));
    publish(&server, 9);
    let other = Other::of(&server);
    other.slot(2).checksum.fetch_xor(1, Ordering::Relaxed);
    other.slot(2).frame_id.store(1 << 40, Ordering::Relaxed);
    assert!(matches!(client.wait(LIMIT), Err(ReadError::Checksum { .. })));
    drop(server);
    assert_eq!(client.wait(LIMIT).unwrap_err(), GONE);
    assert_eq!(client.stats().rejected, 2);
}

#[test]
fn a_rejected_frame_counts_once_however_often_it_is_looked_at() {
    let (server, name) = serve(3);
    let mut client = verifying(&name);
    for value in 1..=2 {
        publish(&server, value);
        Other::of(&server).slot(value as u32 - 1).checksum.fetch_xor(1, Ordering::Relaxed);
        for _ in 0..20 {
            assert!(matches!(client.latest(), Err(ReadError::Checksum { .. })));
        }
        assert_eq!(client.stats().rejected, value);
    }
}

/// News without a frame once hid the end for ever: a frame that was published late, and a slot that is written again.
#[test]
fn a_poll_tells_the_end_whatever_the_last_frames_were() {
    let (server, name) = serve(3);
    let mut client = Client::open(&name).unwrap();
    let mut late = server.begin_frame().unwrap();
    late.append_stream(WORDS, &[1; 50]).unwrap();
    publish(&server, 2);
    assert_eq!(id(client.try_wait()), Some(1));
    late.publish_frame(0.0).unwrap();
    assert!(client.try_wait().unwrap().is_none());
    drop(server);
    assert_eq!(client.try_wait().unwrap_err(), GONE);

    let (server, name) = serve(1);
    let mut client = Client::open(&name).unwrap();
    publish(&server, 1);
    Other::of(&server).slot(0).ext_stamp.fetch_add(1, Ordering::Relaxed);
    drop(server);
    assert_eq!(client.try_wait().unwrap_err(), GONE);

    // As a producer leaves it that dies right after it has made the stamp odd.
    let (server, name) = serve(4);
    let mut client = Client::open(&name).unwrap();
    publish(&server, 1);
    Other::of(&server).slot(0).ext_stamp.fetch_add(1, Ordering::Relaxed);
    drop(server);
    assert_eq!(client.try_next().unwrap_err(), GONE);
}

#[test]
fn a_claim_that_stands_still_hides_no_frame_behind_it() {
    let (server, name) = serve(4);
    let mut client = Client::open(&name).unwrap();
    let mut tap = Tap::open(&name).unwrap();
    (0..4).for_each(|v| _ = publish(&server, v));
    // What a producer leaves that stops right after it has made the stamp odd.
    let other = Other::of(&server);
    let stamp = &other.slot(0).ext_stamp;
    assert_eq!(stamp.fetch_add(1, Ordering::Relaxed) % 2, 0);
    for expected in 2..=4 {
        assert_eq!(id(client.next(LIMIT)), Some(expected));
        assert_eq!(id(tap.next(LIMIT)), Some(expected));
    }
    assert_eq!((client.stats().delivered, client.stats().missed), (3, 1));
    assert_eq!((tap.stats().delivered, tap.stats().missed), (3, 1));
    drop(server);
    assert_eq!(client.next(LIMIT).unwrap_err(), GONE);
    assert_eq!(tap.next(LIMIT).unwrap_err(), GONE);
}

#[test]
fn a_lost_frame_is_counted_without_another() {
    let (server, name) = serve(1);
    let mut client = Client::open(&name).unwrap();
    publish(&server, 1);
    let rewriting = server.begin_frame().unwrap();
    assert!(client.try_next().unwrap().is_none());
    assert_eq!((client.stats().delivered, client.stats().missed), (0, 1));
    drop(rewriting);
    publish(&server, 2);
    assert_eq!(id(client.try_next()), Some(2));
    assert_eq!((client.stats().delivered, client.stats().missed), (1, 1));
}

#[test]
fn a_new_client_gets_the_newest_frame_though_another_was_published_late() {
    let (server, name) = serve(3);
    let mut late = server.begin_frame().unwrap();
    late.append_stream(1, &[1_u64]).unwrap();
    publish(&server, 2);
    late.publish_frame(0.0).unwrap();
    let mut client = Client::open(&name).unwrap();
    assert_eq!(id(client.try_wait()), Some(1));
    assert!(client.try_wait().unwrap().is_none());
    assert_eq!(id(client.try_next()), Some(2));
    assert_eq!((client.stats().delivered, client.stats().missed), (2, 0));
}

/// Counts go on in the successor's region, and once hid that nothing was taken there yet.
#[test]
fn a_client_that_reopens_gets_the_newest_frame_though_another_was_published_late() {
    let (server, name) = serve(3);
    let mut client = Client::open(&name).unwrap();
    publish(&server, 1);
    assert_eq!(id(client.try_wait()), Some(1));
    drop(server);
    let server = Server::builder(&name).slots(3).stream(WORDS, 50).create().unwrap().into_shared();
    let mut late = server.begin_frame().unwrap();
    late.append_stream(1, &[1_u64]).unwrap();
    publish(&server, 2);
    late.publish_frame(0.0).unwrap();
    client.reopen().unwrap();
    assert_eq!(id(client.try_wait()), Some(1));
    assert_eq!(id(client.try_next()), Some(2));
    assert_eq!((client.stats().delivered, client.stats().missed), (3, 0));
}

#[test]
fn each_frame_that_is_handed_out_counts_though_another_was_published_late() {
    let (server, name) = serve(3);
    let mut late = server.begin_frame().unwrap();
    late.append_stream(1, &[1_u64]).unwrap();
    publish(&server, 2);
    late.publish_frame(0.0).unwrap();
    let (mut client, mut tap) =
        (Client::open(&name).unwrap(), Tap::options().start(Start::Newest).open(&name).unwrap());
    assert_eq!((id(client.latest()), id(tap.latest())), (Some(1), Some(1)));
    assert_eq!((id(client.try_next()), id(tap.try_next())), (Some(2), Some(2)));
    assert_eq!((client.stats().delivered, client.stats().missed), (2, 0));
    assert_eq!((tap.stats().delivered, tap.stats().missed), (2, 0));
}

/// The newest frame's slot is never the next to be written while there is another that nobody leases, so there always is
/// a newest frame.
#[test]
fn there_is_a_newest_frame_at_every_moment() {
    for slots in [2, 3] {
        let (server, name) = serve(slots);
        publish(&server, 0);
        let stop = AtomicBool::new(false);
        std::thread::scope(|s| {
            let stop = &stop;
            s.spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    publish(&server, 1);
                }
            });
            // Ends the producer also when an assertion below fails.
            let _stop = StopOnDrop(stop);
            let hold = if slots == 3 { Hold::Lease } else { Hold::Copy };
            let mut client = Client::options().hold(hold).open(&name).unwrap();
            let inspector = Inspector::open(&name).unwrap();
            let end = Instant::now() + Duration::from_millis(400);
            let mut looks = 0;
            while Instant::now() < end || looks == 0 {
                // A producer that is much faster may lap a reader; that is another answer than none.
                assert!(!matches!(client.latest(), Ok(None)), "after {looks} looks");
                assert!(!matches!(inspector.latest(), Ok(None)), "after {looks} looks");
                looks += 1;
            }
        });
    }
}

struct StopOnDrop<'a>(&'a AtomicBool);

impl Drop for StopOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn a_tap_hears_again_after_an_impossible_id() {
    let (server, name) = serve(3);
    let mut tap = Tap::open(&name).unwrap();
    publish(&server, 1);
    let other = Other::of(&server);
    other.header().frame_seq.store(1 << 40, Ordering::Relaxed);
    other.slot(0).frame_id.store(1 << 40, Ordering::Relaxed);
    assert!(tap.try_next().unwrap().is_some());
    // The server mends the count with the next frame.
    publish(&server, 2);
    assert!(tap.try_next().unwrap().is_none());
    assert_eq!(id(tap.try_next()), Some(2));
}

/// A count of frames that another process wrote once made a tap count its missed frames beyond the last number.
#[test]
fn a_tap_takes_any_count_of_missed_frames() {
    let (server, name) = serve(3);
    let mut tap = Tap::open(&name).unwrap();
    let other = Other::of(&server);
    for value in 1..=2 {
        (0..3).for_each(|i| other.slot(i).frame_id.store(0, Ordering::Relaxed));
        other.header().frame_seq.store(u64::MAX, Ordering::Relaxed);
        assert!(tap.try_next().unwrap().is_none(), "counted, and in no slot");
        // The server mends the count.
        publish(&server, value);
        assert!(tap.try_next().unwrap().is_none(), "the tap learns that the count was wrong");
    }
    assert_eq!(tap.stats().missed, u64::MAX);
    assert_eq!(id(tap.try_next()), Some(2));
    publish(&server, 3);
    assert_eq!(id(tap.try_next()), Some(3));
    assert!(tap.pause() <= LIMIT);
}

#[test]
fn reopening_the_same_region_keeps_the_only_reader_slot() {
    let name = unique("stopped");
    let builder = Server::builder(&name).reader_slots(1).stream(WORDS, 50);
    let server = builder.clone().create().unwrap().into_shared();
    let mut client = Client::open(&name).unwrap();
    assert_eq!(client.reader_index(), Some(0));
    client.reopen().unwrap();
    assert_eq!(client.reader_index(), Some(0));
    publish(&server, 3);
    assert_eq!(id(client.try_wait()), Some(1));
    drop(server);
    let server = builder.create().unwrap();
    client.reopen().unwrap();
    assert_eq!((client.reader_index(), client.session_id()), (Some(0), server.session_id()));
}

/// The locks of the old session's reader slots once kept their own holders out of the new one's.
#[test]
fn clients_that_hold_every_slot_reopen_a_region_that_was_begun_anew() {
    let name = unique("stopped");
    let server = Server::builder(&name).reader_slots(2).stream(WORDS, 50).create().unwrap();
    let mut clients = [Client::open(&name).unwrap(), Client::open(&name).unwrap()];
    let other = Other::of(&server);
    // As a server of the reference does it: another session, and nobody attached.
    other.header().session_id.fetch_add(1, Ordering::Relaxed);
    other.header().readers_connected.store(0, Ordering::Relaxed);
    for index in 0..2 {
        other.reader(index).in_use.store(0, Ordering::Relaxed);
        other.reader(index).reader_id.store(0, Ordering::Relaxed);
        other.reader(index).ext_tag.store(0, Ordering::Relaxed);
    }
    for client in &mut clients {
        client.reopen().unwrap();
    }
    let mut indices = clients.each_ref().map(|c| c.reader_index());
    indices.sort_unstable();
    assert_eq!(indices, [Some(0), Some(1)]);
    assert_eq!(other.header().readers_connected.load(Ordering::Relaxed), 2);
    // So that the server takes its name along.
    drop(clients);
    other.header().session_id.fetch_sub(1, Ordering::Relaxed);
}

#[test]
fn nothing_is_written_to_a_slot_of_another_session() {
    let (server, name) = serve(2);
    let client = Client::open(&name).unwrap();
    let other = Other::of(&server);
    let session = other.header().session_id.fetch_add(1, Ordering::Relaxed);
    let heartbeat = &other.reader(0).heartbeat;
    heartbeat.store(0, Ordering::Relaxed);
    client.heartbeat();
    assert_eq!(heartbeat.load(Ordering::Relaxed), 0);
    other.header().session_id.store(session, Ordering::Relaxed);
    client.heartbeat();
    assert_ne!(heartbeat.load(Ordering::Relaxed), 0);
}

#[cfg(feature = "async")]
mod streams {
    use super::*;
    use futures::{Stream, StreamExt};
    use shmx::{FrameStream, Order};
    use std::pin::Pin;
    use std::sync::Arc;
    use std::sync::atomic::AtomicU64;
    use std::task::{Context, Poll, Wake, Waker};

    #[derive(Default)]
    struct Wakes(AtomicU64);

    impl Wake for Wakes {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn poll(stream: &mut FrameStream, wakes: &Arc<Wakes>) -> Option<u64> {
        match Pin::new(stream).poll_next(&mut Context::from_waker(&Waker::from(wakes.clone()))) {
            Poll::Ready(frame) => Some(frame.unwrap().unwrap().frame_id()),
            Poll::Pending => None,
        }
    }

    fn until_woken(wakes: &Wakes) {
        let end = Instant::now() + LIMIT;
        while wakes.0.load(Ordering::Relaxed) == 0 {
            assert!(Instant::now() < end, "the task is not woken");
            std::thread::yield_now();
        }
    }

    #[test]
    fn a_refused_frame_does_not_hide_the_end() {
        let (server, name) = serve(3);
        let mut frames = verifying(&name).into_stream(Order::Newest).unwrap();
        publish(&server, 7);
        Other::of(&server).slot(0).checksum.fetch_xor(1, Ordering::Relaxed);
        drop(server);
        let all: Vec<_> = futures::executor::block_on(async { (&mut frames).take(4).collect().await });
        assert!(matches!(all[..], [Err(ReadError::Checksum { .. }), Err(GONE)]), "{all:?}");
    }

    #[test]
    fn a_task_is_woken_for_a_frame_whose_claim_steps_back() {
        let (server, name) = serve(4);
        let mut frames = Client::open(&name).unwrap().into_stream(Order::Every).unwrap();
        publish(&server, 0);
        let other = Other::of(&server);
        let stamp = &other.slot(0).ext_stamp;
        stamp.fetch_add(1, Ordering::Relaxed);
        let wakes = Arc::default();
        assert_eq!(poll(&mut frames, &wakes), None);
        stamp.fetch_sub(1, Ordering::Relaxed);
        until_woken(&wakes);
        assert_eq!(poll(&mut frames, &wakes), Some(1));
    }

    /// Without a doorbell the thread of a stream showed no sign of life, and a server of the reference goes by nothing
    /// else.
    #[test]
    fn an_idle_stream_shows_signs_of_life() {
        let (server, name) = serve(3);
        let other = Other::of(&server);
        other.header().ext_features.store(0, Ordering::Relaxed);
        let mut frames = Client::open(&name).unwrap().into_stream(Order::Every).unwrap();
        assert_eq!(poll(&mut frames, &Arc::default()), None);
        let heartbeat = &other.reader(0).heartbeat;
        heartbeat.store(1, Ordering::Relaxed);
        let end = Instant::now() + LIMIT;
        while heartbeat.load(Ordering::Relaxed) == 1 {
            assert!(Instant::now() < end, "no sign of life");
            std::thread::yield_now();
        }
    }

    #[test]
    fn a_stream_follows_its_client_to_another_region() {
        let (first, name) = serve(3);
        let (other, other_name) = serve(3);
        let mut frames = Client::open(&name).unwrap().into_stream(Order::Newest).unwrap();
        let wakes = Arc::default();
        assert_eq!(poll(&mut frames, &wakes), None);
        *frames.client_mut() = Client::open(&other_name).unwrap();
        assert_eq!(poll(&mut frames, &wakes), None);
        publish(&other, 1);
        until_woken(&wakes);
        assert_eq!(poll(&mut frames, &wakes), Some(1));
        // Nothing is left in the first one, and nothing there wakes the task any more.
        let end = Instant::now() + LIMIT;
        while first.readers_connected() > 0 {
            assert!(Instant::now() < end, "the reader slot is not given back");
            std::thread::yield_now();
        }
        let wakes = Arc::default();
        assert_eq!(poll(&mut frames, &wakes), None);
        drop(first);
        publish(&other, 2);
        until_woken(&wakes);
        assert_eq!(poll(&mut frames, &wakes), Some(2));
    }
    /// The other client is in a set of its own, under as many tokens as the streams of this process may have.
    #[test]
    fn a_stream_follows_a_client_that_is_in_a_set() {
        let (_first, name) = serve(3);
        let (other, other_name) = serve(3);
        let mut frames = Client::open(&name).unwrap().into_stream(Order::Newest).unwrap();
        let wakes = Arc::default();
        assert_eq!(poll(&mut frames, &wakes), None);
        let mut set = shmx::WaitSet::new().unwrap();
        let mut client = Client::open(&other_name).unwrap();
        (0..64).for_each(|_| _ = set.add(&mut client));
        *frames.client_mut() = client;
        assert_eq!(poll(&mut frames, &wakes), None);
        publish(&other, 1);
        until_woken(&wakes);
        assert_eq!(poll(&mut frames, &wakes), Some(1));
    }

    /// A task that owns another stream, and that nothing but a waker of it keeps.
    struct Task(#[allow(dead_code)] std::sync::Mutex<FrameStream>);

    impl Wake for Task {
        fn wake(self: Arc<Self>) {}
    }

    #[test]
    fn a_waker_that_is_replaced_may_end_another_stream() {
        let (_server, name) = serve(4);
        let open = || Client::open(&name).unwrap().into_stream(Order::Newest).unwrap();
        let (mut frames, owned) = (open(), open());
        let (done, ended) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            let first = Waker::from(Arc::new(Task(std::sync::Mutex::new(owned))));
            assert!(Pin::new(&mut frames).poll_next(&mut Context::from_waker(&first)).is_pending());
            drop(first);
            assert_eq!(poll(&mut frames, &Arc::default()), None);
            done.send(()).unwrap();
        });
        assert_eq!(ended.recv_timeout(LIMIT), Ok(()), "it waits for itself");
    }
}
