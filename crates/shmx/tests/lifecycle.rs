//! How servers and readers come and go, and how the others learn of it.

use crate::common::{LIMIT, Other, WORDS, publish, serve, unique, within_limit};
use shmx::abi::extension::Features;
use shmx::error::{CreateError, OpenError, ReadError, SendError, ServerEnd};
use shmx::{Client, Server, Tap};
use shmx_ring::readers::{self, Newcomer};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

const USER: u32 = shmx::abi::TLV_CONTROL_USER;

#[test]
fn an_orderly_end_and_a_death_are_told_apart() {
    for end in [ServerEnd::Closed, ServerEnd::Died] {
        let (mut server, name) = serve("end", 4);
        let mut client = Client::open(&name).unwrap();
        let mut poller = Client::open(&name).unwrap();
        let mut tap = Tap::open(&name).unwrap();
        publish(&mut server, 1);
        let other = Other::of(&server);
        drop(server);
        if end == ServerEnd::Died {
            // As who finds it dead leaves it.
            other.header().ext_features.fetch_or(Features::DIED as u32, Ordering::SeqCst);
        }
        // The last frame is still had.
        assert_eq!(client.wait(LIMIT).unwrap().unwrap().get(WORDS).unwrap(), [1; 50]);
        assert_eq!(client.wait(LIMIT).unwrap_err(), ReadError::ServerGone { end });
        assert_eq!(client.next(LIMIT).unwrap_err(), ReadError::ServerGone { end });
        assert_eq!(client.server_end(), Some(end));
        assert!(poller.try_wait().unwrap().is_some());
        assert_eq!(poller.try_wait().unwrap_err(), ReadError::ServerGone { end }, "without waiting");
        assert_eq!(poller.try_next().unwrap_err(), ReadError::ServerGone { end });
        assert!(poller.latest().unwrap().is_some(), "the last frame stays");
        assert_eq!(client.control_send(USER, b"x").unwrap_err(), SendError::ServerGone { end });
        assert_eq!(poller.control().send(USER, b"x").unwrap_err(), SendError::ServerGone { end });
        assert!(tap.next(LIMIT).unwrap().is_some());
        assert_eq!(tap.next(LIMIT).unwrap_err(), ReadError::ServerGone { end });
    }
}

#[test]
fn a_region_that_is_given_up_before_it_has_its_name_leaves_nothing() {
    let name = unique("unwanted");
    let builder = Server::builder(&name).stream(WORDS, 2000);
    let mut asked = 0;
    let refused = builder.create_if(|| {
        asked += 1;
        // On Windows there is nothing without a name.
        assert!(cfg!(windows) || Client::open(&name).is_err(), "it has no name yet");
        false
    });
    assert!(matches!(refused, Err(CreateError::NotWanted)));
    assert!(asked == 1 && Client::open(&name).is_err());
    let _server = builder.create_if(|| true).unwrap();
    assert!(Client::open(&name).is_ok());
}

#[test]
fn a_server_ends_while_frames_of_it_are_open() {
    let (server, name) = serve("ended", 4);
    let server = server.into_shared();
    let mut client = Client::open(&name).unwrap();
    let mut frame = server.begin_frame().unwrap();
    server.end();
    assert_eq!(client.wait(LIMIT).unwrap_err(), ReadError::ServerGone { end: ServerEnd::Closed });
    frame.append_stream(WORDS, &[1; 50]).unwrap();
    let successor = Server::builder(&name).stream(WORDS, 2000).create().unwrap();
    // The name is the successor's by now.
    server.end();
    drop(frame);
    drop(server);
    assert!(successor.name_is_current());
    assert!(Client::open(&name).is_ok());
}

#[test]
fn a_client_waits_for_its_server_and_follows_its_successor() {
    let name = unique("successor");
    let create = || Server::builder(&name).stream(WORDS, 2000).create().unwrap();
    assert!(matches!(Client::open_within(&name, Duration::from_millis(5)), Err(OpenError::Os(_))));
    let waiting = std::thread::spawn({
        let name = name.clone();
        move || Client::options().reconnect(true).open_within(&name, LIMIT).unwrap()
    });
    let mut server = create();
    let mut client = waiting.join().unwrap();
    let sender = client.control();
    publish(&mut server, 1);
    let first = client.wait(LIMIT).unwrap().unwrap().session_id();
    drop(server);
    assert!(client.wait(Duration::from_millis(20)).unwrap().is_none(), "no server is no error");
    let mut server = create();
    publish(&mut server, 2);
    let frame = client.wait(LIMIT).unwrap().unwrap();
    assert_eq!(frame.get(WORDS).unwrap(), [2; 50]);
    assert_ne!(frame.session_id(), first);
    drop(frame);
    assert_eq!((client.reconnects(), client.stats().delivered), (1, 2), "counts go on");
    sender.send_value(USER, &7_u32).unwrap();
    assert_eq!(server.poll_control(8).messages[0].value::<u32>().unwrap(), 7, "the sender follows");
    // Without waiting, and for the newest frame.
    drop(server);
    let mut server = create();
    publish(&mut server, 3);
    assert!(within_limit(|| client.try_wait().unwrap().is_some_and(|f| f.get(WORDS).unwrap() == [3; 50])));
    drop(server);
    let mut server = create();
    publish(&mut server, 4);
    assert!(within_limit(|| client.latest().unwrap().is_some_and(|f| f.get(WORDS).unwrap() == [4; 50])));
    assert_eq!(client.reconnects(), 3);
}

/// A server in a process of its own.
#[cfg(target_os = "linux")]
fn serve_elsewhere(name: &str) -> std::process::Child {
    use std::io::{BufRead, BufReader};
    let mut child = crate::common::this_program()
        .args(["lifecycle::a_polled_client_follows_the_successor_of_a_killed_server", "--exact", "--nocapture"])
        .env(NAME, name)
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
    assert!(lines.into_iter().any(|line| line.ends_with("serving")), "the server begins");
    child
}

#[cfg(target_os = "linux")]
const NAME: &str = "SHMX_LIFECYCLE_SERVER";

/// A look at the server's life once counted as one for a successor, of which there is one in ten milliseconds.
#[test]
#[cfg(target_os = "linux")]
fn a_polled_client_follows_the_successor_of_a_killed_server() {
    if let Ok(name) = std::env::var(NAME) {
        let mut server = Server::builder(&name).stream(WORDS, 2000).create().unwrap();
        publish(&mut server, 1);
        println!("serving");
        // Until it is killed, or the test is gone.
        let _ = std::io::Read::read(&mut std::io::stdin(), &mut [0]);
        drop(server);
        std::process::exit(0);
    }
    let polls: [fn(&mut Client) -> Option<u64>; 3] = [
        |client| client.try_wait().unwrap().map(|f| f.get(WORDS).unwrap()[0]),
        |client| client.try_next().unwrap().map(|f| f.get(WORDS).unwrap()[0]),
        |client| client.latest().unwrap().map(|f| f.get(WORDS).unwrap()[0]),
    ];
    for poll in polls {
        let name = unique("killed");
        let mut elsewhere = serve_elsewhere(&name);
        let mut client = Client::options().reconnect(true).open(&name).unwrap();
        assert_eq!(poll(&mut client), Some(1));
        elsewhere.kill().unwrap();
        elsewhere.wait().unwrap();
        // Nobody tells the readers.
        std::fs::remove_file(format!("/dev/shm/{name}")).unwrap();
        let mut server = Server::builder(&name).stream(WORDS, 2000).create().unwrap();
        publish(&mut server, 2);
        assert!(within_limit(|| poll(&mut client) == Some(2)));
        assert_eq!(client.reconnects(), 1);
    }
}

/// A client that reconnects once kept to itself why it could not.
#[test]
#[cfg(target_os = "linux")]
fn a_client_says_why_it_cannot_follow() {
    let (server, name) = serve("why", 4);
    let mut client = Client::options().reconnect(true).open(&name).unwrap();
    drop(server);
    assert!(client.wait(Duration::from_millis(30)).unwrap().is_none());
    assert!(client.reopen_error().is_none(), "no server is no error");
    let path = format!("/dev/shm/{name}");
    std::fs::write(&path, [7; 4096]).unwrap();
    assert!(within_limit(|| {
        assert!(client.try_wait().unwrap().is_none());
        matches!(client.reopen_error(), Some(OpenError::Layout { .. }))
    }));
    std::fs::remove_file(path).unwrap();
    let mut server = Server::builder(&name).stream(WORDS, 2000).create().unwrap();
    publish(&mut server, 2);
    assert!(within_limit(|| client.try_wait().unwrap().is_some()));
    assert!(client.reopen_error().is_none());
}

/// A reader that polled for long once learned of the end only after that.
#[test]
#[cfg(target_os = "linux")]
fn a_reader_that_polls_for_long_is_told_the_end_at_once() {
    for end in [ServerEnd::Closed, ServerEnd::Died] {
        let name = unique("spin");
        let mut elsewhere = serve_elsewhere(&name);
        let mut client = Client::options().spin(LIMIT).open(&name).unwrap();
        assert!(client.wait(LIMIT).unwrap().is_some());
        if end == ServerEnd::Closed {
            drop(elsewhere.stdin.take());
        } else {
            elsewhere.kill().unwrap();
        }
        elsewhere.wait().unwrap();
        let start = std::time::Instant::now();
        assert_eq!(client.wait(LIMIT).unwrap_err(), ReadError::ServerGone { end });
        assert!(start.elapsed() < LIMIT / 2, "long before the polling ends");
        let _ = std::fs::remove_file(format!("/dev/shm/{name}"));
    }
}

#[test]
fn reopening_what_is_still_there_changes_nothing() {
    let name = unique("reopen");
    let mut server = Server::builder(&name).reader_slots(1).stream(WORDS, 50).create().unwrap();
    let mut client = Client::open(&name).unwrap();
    publish(&mut server, 1);
    assert!(client.wait(LIMIT).unwrap().is_some());
    client.reopen().unwrap();
    assert_eq!((client.reader_index(), client.stats().delivered), (Some(0), 1));
}

#[test]
fn a_reader_without_a_slot_says_so() {
    let name = unique("full");
    let mut server = Server::builder(&name).reader_slots(2).stream(WORDS, 50).create().unwrap();
    let _readers = [Client::open(&name).unwrap(), Client::open(&name).unwrap()];
    let error = Client::open(&name).unwrap_err();
    let text = error.to_string();
    assert!(matches!(&error, OpenError::NoReaderSlot { occupants, .. } if occupants.len() == 2), "{error:?}");
    assert!(text.contains(&std::process::id().to_string()) && text.contains("require_slot(false)"), "{text}");
    let mut client = Client::options().require_slot(false).open(&name).unwrap();
    publish(&mut server, 1);
    let frame = client.wait(LIMIT).unwrap().unwrap();
    assert!(!frame.is_leased());
    drop(frame);
    assert!(matches!(client.control_send(USER, &[]), Err(SendError::NoReaderSlot { reader_slots: 2 })));
}

/// Readers that died hold their slots until somebody frees them: a newcomer does.
#[test]
fn a_newcomer_takes_the_slot_of_a_dead_reader() {
    let name = unique("dead");
    let mut server = Server::builder(&name).reader_slots(2).stream(WORDS, 50).create().unwrap();
    let other = Other::of(&server);
    publish(&mut server, 1);
    for index in 0..2 {
        // A reader of ours that was killed: a tag, no lock, and a lease.
        let dead =
            Newcomer { id: 70 + u64::from(index), pid: 1, now: 1, locked: true, verifies: false, every_frame: false };
        assert!(readers::attach(other.header(), other.reader(index), &dead).is_some());
        other.slot(0).ext_lease[0].fetch_or(1 << index, Ordering::SeqCst);
    }
    let first = Client::open(&name).unwrap();
    let second = Client::open(&name).unwrap();
    assert_eq!((first.reader_index(), second.reader_index()), (Some(0), Some(1)));
    assert_eq!(other.slot(0).ext_lease[0].load(Ordering::SeqCst), 0, "their leases went with them");
    assert_eq!(server.readers_connected(), 2);
    assert!(matches!(Client::open(&name), Err(OpenError::NoReaderSlot { .. })), "these two live");
}

/// The server frees them as well, by publishing or by polling.
#[test]
fn dead_readers_do_not_fill_the_region() {
    let (mut server, _) = serve("reap", 4);
    let other = Other::of(&server);
    let die = |id| {
        let dead = Newcomer { id, pid: 1, now: 1, locked: true, verifies: false, every_frame: false };
        assert!(readers::attach(other.header(), other.reader(0), &dead).is_some());
    };
    die(1);
    assert!(within_limit(|| {
        publish(&mut server, 1);
        server.readers_connected() == 0
    }));
    die(2);
    assert!(within_limit(|| server.poll_control(1).messages.is_empty() && server.readers_connected() == 0));
}

/// A server without publish times once looked at the clock at each 256th frame only.
#[test]
fn slow_frames_without_a_time_do_not_keep_dead_readers() {
    let name = unique("timeless");
    let mut server = Server::builder(&name).publish_time(false).stream(WORDS, 50).create().unwrap();
    let other = Other::of(&server);
    // Fast ones first.
    (0..100).for_each(|value| _ = publish(&mut server, value));
    let dead = Newcomer { id: 7, pid: 1, now: 1, locked: true, verifies: false, every_frame: false };
    assert!(readers::attach(other.header(), other.reader(0), &dead).is_some());
    let mut frames = 0;
    assert!(within_limit(|| {
        std::thread::sleep(Duration::from_millis(5));
        publish(&mut server, 1);
        frames += 1;
        server.readers_connected() == 0
    }));
    assert!(frames < 100, "{frames} frames");
}

/// A server without locks gives the slot of a reader that showed no sign of life to another one.
#[test]
fn a_reader_whose_slot_was_given_away_leaves_it_alone() {
    let (server, name) = serve("given", 4);
    let other = Other::of(&server);
    // No extension: to readers, a server of the reference.
    other.header().ext_features.store(0, Ordering::SeqCst);
    let client = Client::open(&name).unwrap();
    assert_eq!(client.reader_index(), Some(0));
    let slot = other.reader(0);
    readers::detach(other.header(), slot);
    let heir = Newcomer { id: 99, pid: 5, now: 1234, locked: false, verifies: false, every_frame: false };
    assert!(readers::attach(other.header(), slot, &heir).is_some());

    client.heartbeat();
    assert_eq!(slot.heartbeat.load(Ordering::SeqCst), 1234, "the heir's");
    assert_eq!(client.reader_index(), Some(1), "another one was taken");
    client.control_send(USER, b"ours").unwrap();
    // Once more, and found out by sending.
    other.reader(1).reader_id.fetch_xor(1, Ordering::SeqCst);
    client.control_send(USER, b"ours too").unwrap();
    assert_eq!(client.reader_index(), Some(2), "another one was taken");
    readers::detach(other.header(), other.reader(1));
    drop(client);
    assert_eq!(other.reader(2).in_use.load(Ordering::SeqCst), 0);
    assert_eq!((slot.reader_id.load(Ordering::SeqCst), slot.in_use.load(Ordering::SeqCst)), (99, 1));
    assert_eq!(other.reader(1).in_use.load(Ordering::SeqCst), 0);
}

/// Of two threads that found the slot given away, each took another one, and one of the two was lost for good.
#[test]
fn threads_that_lost_their_slot_take_one_together() {
    let (server, name) = serve("together", 4);
    let other = Other::of(&server);
    other.header().ext_features.store(0, Ordering::SeqCst);
    let client = Client::open(&name).unwrap();
    let taken = || (0..server.layout().reader_slots()).filter(|&i| other.reader(i).in_use.load(Ordering::SeqCst) != 0);
    const ROUNDS: u32 = 3000;
    let (begun, done) = (AtomicU32::new(0), AtomicU32::new(0));
    let await_round = |word: &AtomicU32, round| {
        while word.load(Ordering::SeqCst) < round {
            std::hint::spin_loop();
        }
    };
    std::thread::scope(|s| {
        s.spawn(|| {
            for round in 1..=ROUNDS {
                await_round(&begun, round);
                client.heartbeat();
                done.store(round, Ordering::SeqCst);
            }
        });
        let mut lost = 0;
        for round in 1..=ROUNDS {
            let slot = other.reader(client.reader_index().unwrap());
            slot.reader_id.fetch_xor(1, Ordering::SeqCst);
            begun.store(round, Ordering::SeqCst);
            client.heartbeat();
            await_round(&done, round);
            // The heir leaves; the client has one.
            readers::detach(other.header(), slot);
            lost += taken().count() - 1;
            if lost > 0 {
                begun.store(ROUNDS, Ordering::SeqCst);
                break;
            }
        }
        assert_eq!(lost, 0);
    });
}

/// A stray store to a reader's id once silenced the reader and cost its slot for as long as the server lived.
#[test]
#[cfg(target_os = "linux")]
fn a_reader_whose_id_was_damaged_keeps_its_slot() {
    let (server, name) = serve("stray", 4);
    let other = Other::of(&server);
    let client = Client::open(&name).unwrap();
    let slot = other.reader(0);
    slot.reader_id.fetch_xor(1, Ordering::SeqCst);
    slot.heartbeat.store(1, Ordering::SeqCst);
    client.control_send(USER, b"still here").unwrap();
    assert_eq!(server.poll_control(8).messages[0].data, b"still here");
    assert_ne!(slot.heartbeat.load(Ordering::SeqCst), 1);
    assert!(server.reap_dead_readers().is_empty() && server.readers_connected() == 1);
    drop(client);
    assert_eq!((slot.in_use.load(Ordering::SeqCst), server.readers_connected()), (0, 0));
    assert_eq!(Client::open(&name).unwrap().reader_index(), Some(0));
}

#[test]
fn a_waiting_reader_shows_signs_of_life() {
    let (server, name) = serve("beat", 4);
    let other = Other::of(&server);
    let mut client = Client::open(&name).unwrap();
    let slot = other.reader(0);
    slot.heartbeat.store(1, Ordering::SeqCst);
    assert!(within_limit(|| {
        assert!(client.wait(Duration::from_millis(30)).unwrap().is_none());
        slot.heartbeat.load(Ordering::SeqCst) != 1
    }));
}

/// A server of the reference frees the slot of a reader that shows no sign of life, whatever the reader calls.
#[test]
fn a_reader_that_asks_in_vain_shows_signs_of_life() {
    let (server, name) = serve("in-vain", 4);
    let other = Other::of(&server);
    other.header().ext_features.store(0, Ordering::SeqCst);
    let mut client = Client::open(&name).unwrap();
    let heartbeat = &other.reader(0).heartbeat;
    let calls: [fn(&mut Client) -> bool; 4] = [
        |client| client.wait(Duration::from_millis(1)).unwrap().is_some(),
        |client| client.next(Duration::from_millis(1)).unwrap().is_some(),
        |client| client.latest().unwrap().is_some(),
        |client| client.read_id(1).unwrap().is_some(),
    ];
    for call in calls {
        heartbeat.store(1, Ordering::SeqCst);
        assert!(within_limit(|| {
            assert!(!call(&mut client));
            heartbeat.load(Ordering::SeqCst) != 1
        }));
    }
    // A single poll, if polls are rare.
    heartbeat.store(1, Ordering::SeqCst);
    std::thread::sleep(Duration::from_millis(20));
    assert!(client.try_wait().unwrap().is_none());
    assert_ne!(heartbeat.load(Ordering::SeqCst), 1);
}

/// What a server of ours has left in a region that a server of the reference has begun anew is not that one's word.
#[test]
fn a_foreign_regions_bits_do_not_silence_a_reader() {
    let (server, name) = serve("bits", 4);
    let other = Other::of(&server);
    other.header().ext_features.store(Features::CLOSED as u32, Ordering::SeqCst);
    let mut client = Client::open(&name).unwrap();
    let heartbeat = &other.reader(0).heartbeat;
    heartbeat.store(1, Ordering::SeqCst);
    assert!(within_limit(|| {
        assert!(client.try_wait().unwrap().is_none());
        heartbeat.load(Ordering::SeqCst) != 1
    }));
}

#[test]
fn messages_go_while_a_frame_is_borrowed_and_from_other_threads() {
    let (mut server, name) = serve("sender", 4);
    let mut client = Client::open(&name).unwrap();
    let sender = client.control();
    publish(&mut server, 1);
    let frame = client.wait(LIMIT).unwrap().unwrap();
    sender.send(USER, b"borrowed").unwrap();
    let threads: Vec<_> = (0..4_u32)
        .map(|i| {
            let sender = sender.clone();
            std::thread::spawn(move || sender.send_value(USER + 1, &i).unwrap())
        })
        .collect();
    threads.into_iter().for_each(|t| t.join().unwrap());
    assert_eq!(frame.get(WORDS).unwrap(), [1; 50]);
    let messages = server.poll_control(16).messages;
    assert_eq!(messages[0].data, b"borrowed");
    let mut values: Vec<u32> = messages[1..].iter().map(|m| m.value().unwrap()).collect();
    values.sort_unstable();
    assert_eq!(values, [0, 1, 2, 3]);
    assert!(messages[0].value::<u32>().unwrap_err().to_string().contains("8 bytes"));
}
