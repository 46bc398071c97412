//! Wait sets: one sleep for many regions, from none to very many.

use crate::common::{self, LIMIT, Other, unique, within_limit};
use shmx::error::{ReadError, ServerEnd};
use shmx::{Client, Server, Stream, Tap, Token, WaitSet};
use std::collections::HashMap;
use std::time::{Duration, Instant};

const TICK: Stream<u64> = Stream::new(1, "tick");

fn server(name: &str) -> Server {
    Server::builder(name).slots(3).reader_slots(2).stream(TICK, 1).create().unwrap()
}

fn publish(server: &mut Server, tick: u64) {
    let mut frame = server.begin_frame().unwrap();
    frame.append_value(TICK, tick).unwrap();
    frame.publish_frame(0.0).unwrap();
}

/// Polls all that the set names until nothing is left to poll.
fn settle(set: &mut WaitSet, clients: &mut HashMap<Token, Client>) {
    assert!(within_limit(|| {
        let ready = set.wait(Duration::ZERO).to_vec();
        for token in &ready {
            let _ = clients.get_mut(token).unwrap().try_next().unwrap();
        }
        ready.is_empty()
    }));
}

fn regions_answer(count: usize, frames: u64) {
    let frames = if common::emulated() { frames / 20 } else { frames };
    let names: Vec<String> = (0..count).map(|_| unique("many")).collect();
    let mut servers: Vec<Server> = names.iter().map(|n| server(n)).collect();
    let mut set = WaitSet::new().unwrap();
    let mut clients: HashMap<Token, Client> = HashMap::new();
    let mut index: HashMap<Token, usize> = HashMap::new();
    for (i, name) in names.iter().enumerate() {
        let mut client = Client::open(name).unwrap();
        let token = set.add(&mut client);
        clients.insert(token, client);
        index.insert(token, i);
    }
    assert_eq!(set.len(), count);
    settle(&mut set, &mut clients);
    let (asked, ask) = std::sync::mpsc::channel::<usize>();
    let producer = std::thread::spawn(move || {
        let mut tick = 0;
        while let Ok(which) = ask.recv() {
            tick += 1;
            publish(&mut servers[which], tick);
        }
        servers
    });
    let mut random = fastrand::Rng::with_seed(count as u64);
    for tick in 1..=frames {
        let which = random.usize(0..count);
        asked.send(which).unwrap();
        let begun = Instant::now();
        let got = loop {
            assert!(begun.elapsed() < LIMIT, "frame {tick} of {count} regions woke nobody");
            let ready = set.wait(LIMIT).to_vec();
            let got = ready.iter().find_map(|token| {
                let frame = clients.get_mut(token).unwrap().try_next().unwrap()?;
                Some((index[token], frame.value(TICK).unwrap()))
            });
            if let Some(got) = got {
                break got;
            }
        };
        assert_eq!(got, (which, tick));
    }
    drop(asked);
    let servers = producer.join().unwrap();
    drop(clients);
    assert!(set.wait(Duration::ZERO).is_empty());
    assert!(set.is_empty(), "clients that were dropped have left");
    assert!(servers.iter().all(|s| s.snapshot_readers().iter().all(|r| !r.in_use)));
}

#[test]
fn one_region_answers() {
    regions_answer(1, 2000);
}

#[test]
fn eight_regions_answer() {
    regions_answer(8, 2000);
}

#[test]
fn as_many_regions_as_one_sleep_takes_and_more_answer() {
    for count in [127, 128, 200] {
        regions_answer(count, 200);
    }
}

#[test]
fn an_empty_set_waits_as_long_as_it_is_told() {
    let mut set = WaitSet::new().unwrap();
    assert!(set.is_empty());
    assert!(set.wait(Duration::ZERO).is_empty());
    let begun = Instant::now();
    assert!(set.wait(Duration::from_millis(30)).is_empty());
    assert!(begun.elapsed() >= Duration::from_millis(30));
    let interrupter = set.interrupter();
    std::thread::spawn(move || interrupter.interrupt());
    assert!(set.wait(Duration::MAX).is_empty(), "for ever, but for the interruption");
}

#[test]
fn a_reader_that_is_not_polled_is_named_again() {
    let name = unique("again");
    let mut server = server(&name);
    let mut client = Client::open(&name).unwrap();
    let mut set = WaitSet::new().unwrap();
    let token = set.add(&mut client);
    for _ in 0..3 {
        assert_eq!(set.wait(LIMIT), [token]);
    }
    assert!(client.try_next().unwrap().is_none());
    assert!(set.wait(Duration::ZERO).is_empty());
    publish(&mut server, 1);
    publish(&mut server, 2);
    for tick in 1..=2 {
        assert_eq!(set.wait(LIMIT), [token]);
        assert_eq!(client.try_next().unwrap().unwrap().value(TICK), Ok(tick));
    }
    assert_eq!(set.wait(LIMIT), [token]);
    assert!(client.try_next().unwrap().is_none());
    assert!(set.remove(token));
    publish(&mut server, 3);
    assert!(set.wait(Duration::from_millis(5)).is_empty());
    assert!(!set.remove(token));
}

#[test]
fn the_end_of_a_server_is_news() {
    let (left, right) = (unique("left"), unique("right"));
    let (a, _b) = (server(&left), server(&right));
    let mut set = WaitSet::new().unwrap();
    let mut clients = HashMap::new();
    let mut tokens = Vec::new();
    for name in [&left, &right] {
        let mut client = Client::open(name).unwrap();
        tokens.push(set.add(&mut client));
        clients.insert(tokens[tokens.len() - 1], client);
    }
    settle(&mut set, &mut clients);
    drop(a);
    assert_eq!(set.wait(LIMIT), [tokens[0]]);
    let error = clients.get_mut(&tokens[0]).unwrap().try_next().unwrap_err();
    assert_eq!(error, ReadError::ServerGone { end: ServerEnd::Closed });
    assert_eq!(set.wait(LIMIT), [tokens[0]], "as long as it is in the set");
    clients.remove(&tokens[0]);
    assert!(set.wait(Duration::ZERO).is_empty());
}

#[test]
fn a_token_of_another_set_removes_nobody() {
    let name = unique("token");
    let _server = server(&name);
    let mut client = Client::open(&name).unwrap();
    let mut sets = [WaitSet::new().unwrap(), WaitSet::new().unwrap()];
    let tokens = sets.each_mut().map(|set| set.add(&mut client));
    assert!(!sets[0].remove(tokens[1]) && !sets[1].remove(tokens[0]));
    assert!(sets[0].remove(tokens[0]) && sets[1].remove(tokens[1]));
}

/// The old server lives and only lost its name: nothing of it tells of the other region.
#[cfg(target_os = "linux")]
#[test]
fn a_reader_that_goes_over_is_named_again() {
    use std::os::fd::AsFd;
    let name = unique("over");
    let _old = server(&name);
    let mut client = Client::open(&name).unwrap();
    let fd = client.wait_fd().unwrap().try_clone_to_owned().unwrap();
    let mut set = WaitSet::new().unwrap();
    let token = set.add(&mut client);
    assert!(client.try_next().unwrap().is_none());
    assert!(set.wait(Duration::ZERO).is_empty());
    std::fs::remove_file(format!("/dev/shm/{name}")).unwrap();
    let mut new = server(&name);
    client.reopen().unwrap();
    let fds = &mut [rustix::event::PollFd::from_borrowed_fd(fd.as_fd(), rustix::event::PollFlags::IN)];
    let now = rustix::time::Timespec { tv_sec: 0, tv_nsec: 0 };
    assert_eq!(rustix::event::poll(fds, Some(&now)), Ok(1));
    assert_eq!(set.wait(Duration::ZERO), [token]);
    assert!(client.try_next().unwrap().is_none());
    publish(&mut new, 7);
    assert_eq!(set.wait(LIMIT), [token]);
    assert_eq!(client.try_next().unwrap().unwrap().value(TICK), Ok(7));
}

/// A tap may have nothing to sleep on, and a region without a doorbell rings for nobody.
#[test]
fn what_cannot_be_slept_on_is_polled() {
    use shmx::abi::extension::Features;
    use std::sync::atomic::Ordering;
    let (ours, deaf) = (unique("tap"), unique("deaf"));
    let (mut server, mut old) = (self::server(&ours), self::server(&deaf));
    Other::of(&old).header().ext_features.fetch_and(!(Features::DOORBELL as u32), Ordering::Relaxed);
    let mut set = WaitSet::new().unwrap();
    let mut tap = Tap::open(&ours).unwrap();
    let mut client = Client::open(&deaf).unwrap();
    let (t, c) = (set.add(&mut tap), set.add(&mut client));
    assert!(within_limit(|| {
        let _ = (tap.try_next().unwrap().is_none(), client.try_next().unwrap().is_none());
        set.wait(Duration::ZERO).is_empty()
    }));
    publish(&mut server, 1);
    assert!(within_limit(|| set.wait(LIMIT) == [t]));
    assert!(tap.try_next().unwrap().is_some());
    assert!(tap.try_next().unwrap().is_none());
    publish(&mut old, 7);
    assert!(within_limit(|| {
        let ready = set.wait(LIMIT).to_vec();
        if ready.contains(&t) {
            assert!(tap.try_next().unwrap().is_none());
        }
        ready.contains(&c)
    }));
}

/// The same client a hundred thousand times: no limit of the set's own, and none of the system's is an error.
#[test]
fn a_hundred_thousand_members_are_served() {
    let name = unique("lakh");
    let mut server = server(&name);
    let mut client = Client::open(&name).unwrap();
    let mut set = WaitSet::new().unwrap();
    let tokens: Vec<Token> =
        (0..if common::emulated() { 2000 } else { 100_000 }).map(|_| set.add(&mut client)).collect();
    assert!(client.try_next().unwrap().is_none());
    assert!(set.wait(Duration::from_millis(5)).is_empty());
    let producer = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(5));
        publish(&mut server, 1);
        server
    });
    // Not all at once: those that were asked before the frame came are told by the next wait.
    assert!(!set.wait(LIMIT).is_empty());
    let _server = producer.join().unwrap();
    assert!(set.wait(LIMIT) == tokens, "somebody was not told");
    assert!(client.try_next().unwrap().is_some());
}

/// How a reader of the figures waits.
#[cfg(target_os = "linux")]
#[derive(Clone, Copy, Debug)]
enum Bed {
    Own,
    Descriptor,
    Set,
    Polling,
}

/// Takes `frames` frames; the processor time that took, in proportion to the time that passed.
#[cfg(target_os = "linux")]
fn processor_share(name: &str, bed: Bed, frames: u64) -> f64 {
    use rustix::event::{PollFd, PollFlags, poll};
    use rustix::time::{ClockId, clock_gettime};
    let now = || {
        let t = clock_gettime(ClockId::ThreadCPUTime);
        Duration::new(t.tv_sec as u64, t.tv_nsec as u32)
    };
    let mut client = Client::options().start(shmx::Start::Newest).open(name).unwrap();
    let mut set = WaitSet::new().unwrap();
    match bed {
        Bed::Set => _ = set.add(&mut client),
        Bed::Descriptor => _ = client.wait_fd().unwrap(),
        Bed::Own | Bed::Polling => {}
    }
    let (mut taken, mut start) = (0, (now(), Instant::now()));
    while taken < frames {
        let frame = match bed {
            Bed::Own => client.wait(LIMIT).unwrap(),
            Bed::Set => {
                set.wait(LIMIT);
                client.try_wait().unwrap()
            }
            Bed::Descriptor => {
                let fd = client.wait_fd().unwrap();
                let _ = poll(&mut [PollFd::new(&fd, PollFlags::IN)], None);
                client.try_wait().unwrap()
            }
            Bed::Polling => {
                std::thread::sleep(Duration::from_millis(1));
                client.try_wait().unwrap()
            }
        };
        if frame.is_some() {
            taken += 1;
            // What opening cost does not count.
            if taken == 1 {
                start = (now(), Instant::now());
            }
        }
    }
    (now() - start.0).as_secs_f64() / start.1.elapsed().as_secs_f64()
}

/// What a reader asleep at 60 Hz takes of a processor, and how long a set of so many regions takes to wake, from just
/// before publishing to the frame in hand. `--release -- --ignored --nocapture`
#[cfg(target_os = "linux")]
#[test]
#[ignore = "figures; takes a minute"]
fn figures() {
    for bed in [Bed::Own, Bed::Descriptor, Bed::Set, Bed::Polling] {
        let name = unique("sixty");
        let mut server = server(&name);
        let reader = std::thread::spawn(move || processor_share(&name, bed, 600));
        while !reader.is_finished() {
            publish(&mut server, 1);
            std::thread::sleep(Duration::from_micros(16_667));
        }
        println!("{bed:?} at 60 Hz: {:.3} % of a processor", 100.0 * reader.join().unwrap());
    }
    for count in [0, 1, 8, 64, 128] {
        let names: Vec<String> = (0..count.max(1)).map(|_| unique("wake")).collect();
        let mut servers: Vec<Server> = names.iter().map(|n| server(n)).collect();
        let origin = Instant::now();
        let reader = std::thread::spawn(move || {
            let mut clients: Vec<Client> = names.iter().map(|n| Client::open(n).unwrap()).collect();
            let mut set = WaitSet::new().unwrap();
            let mut of = HashMap::new();
            if count > 0 {
                clients.iter_mut().enumerate().for_each(|(i, client)| _ = of.insert(set.add(client), i));
            }
            let mut times = Vec::new();
            while times.len() < 2000 {
                let ready: Vec<usize> =
                    if count == 0 { vec![0] } else { set.wait(LIMIT).iter().map(|t| of[t]).collect() };
                for i in ready {
                    // Without a set: the client's own wait.
                    let patience = if count == 0 { LIMIT } else { Duration::ZERO };
                    if let Some(frame) = clients[i].wait(patience).unwrap() {
                        let sent = Duration::from_nanos(frame.value(TICK).unwrap());
                        times.push(origin.elapsed().saturating_sub(sent));
                    }
                }
            }
            times.sort_unstable();
            times[times.len() / 2]
        });
        let mut which = 0;
        while !reader.is_finished() {
            std::thread::sleep(Duration::from_micros(500));
            which = (which + 7) % servers.len();
            publish(&mut servers[which], origin.elapsed().as_nanos() as u64);
        }
        let what = if count == 0 { "a client by itself".to_owned() } else { format!("a set of {count}") };
        println!("{what}: {:.1} us from publishing to the frame, median", reader.join().unwrap().as_secs_f64() * 1e6);
    }
}

#[test]
fn tokens_are_numbers_for_other_languages() {
    let name = unique("number");
    let _server = server(&name);
    let mut client = Client::open(&name).unwrap();
    let mut set = WaitSet::new().unwrap();
    let token = set.add(&mut client);
    let number = u64::from(token);
    assert_eq!(Token::from(number), token);
    assert!(!set.remove(Token::from(number + 1)), "nobody's");
    assert!(set.remove(Token::from(number)));
}
