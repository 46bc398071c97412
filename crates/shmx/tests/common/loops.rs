//! Programs that run an event loop, and the servers that they listen to.

use super::{LIMIT, this_program, unique};
use shmx::{Server, Stream};
use std::io::{BufRead, BufReader};
use std::net::UdpSocket;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

pub(crate) const TICK: Stream<u64> = Stream::new(1, "tick");
/// Says in a child which part it plays.
pub(crate) const PART: &str = "SHMX_TEST_PART";

pub(crate) fn server(name: &str) -> Server {
    Server::builder(name).stream(TICK, 1).create().unwrap()
}

pub(crate) fn publish(server: &mut Server, tick: u64) {
    let mut frame = server.begin_frame().unwrap();
    frame.append_value(TICK, tick).unwrap();
    frame.publish_frame(0.0).unwrap();
}

/// Not a test by itself: a child that publishes until it is killed.
#[test]
fn one_server() {
    if std::env::var(PART).as_deref() != Ok("server") {
        return;
    }
    let name = std::env::args().nth(1).unwrap();
    let mut server = server(&name);
    for tick in 1.. {
        publish(&mut server, tick);
        std::thread::sleep(Duration::from_millis(3));
    }
}

/// A child that serves.
pub(crate) fn start_server(name: &str) -> Child {
    this_program().args([name, "common::loops::one_server", "--exact"]).env(PART, "server").spawn().unwrap()
}

struct Killed(Vec<Child>, Vec<String>);

impl Drop for Killed {
    fn drop(&mut self) {
        for child in &mut self.0 {
            let _ = child.kill();
            let _ = child.wait();
        }
        for name in &self.1 {
            let _ = shmx::remove(name, false);
        }
    }
}

/// Runs this program's test `one_loop` on three regions, of which one is killed and comes back, with a socket and a timer.
/// The number of threads of the loop at the end.
pub(crate) fn loop_answers(one_loop: &str) -> usize {
    let names = ["a", "b", "c"].map(unique);
    let mut programs = Killed(names.iter().map(|n| start_server(n)).collect(), names.to_vec());
    let mut command: Command = this_program();
    command.args(&names).args([one_loop, "--exact", "--nocapture"]).env(PART, "loop");
    let mut program = command.stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(program.stdout.take().unwrap()).lines();
    let pid = program.id();
    programs.0.push(program);
    let begun = Instant::now();
    let mut next = || loop {
        assert!(begun.elapsed() < LIMIT, "the loop stands still");
        let line = lines.next().unwrap().unwrap();
        if line.contains(',') {
            return line.split(',').map(str::to_owned).collect::<Vec<_>>();
        }
    };
    let port = next();
    assert!(port[0].ends_with("socket"), "{port:?}");
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let say = |text: &str| socket.send_to(text.as_bytes(), format!("127.0.0.1:{}", port[1])).unwrap();
    say("hello");
    let (mut frames, mut hello, mut timer, mut killed) = ([0; 3], false, 0, false);
    while frames.iter().any(|&n| n < 50) || !hello || timer < 2 || !killed {
        let parts = next();
        match parts[0].as_str() {
            "frame" => frames[parts[1].parse::<usize>().unwrap()] += 1,
            "datagram" => hello |= parts[1] == "hello",
            "timer" => timer += 1,
            other => panic!("{other}"),
        }
        if !killed && frames.iter().all(|&n| n > 10) {
            programs.0[1].kill().unwrap();
            programs.0[1].wait().unwrap();
            programs.0[1] = start_server(&names[1]);
            (killed, frames[1]) = (true, 0);
        }
    }
    let threads = std::fs::read_dir(format!("/proc/{pid}/task")).unwrap().count();
    say("quit");
    assert!(programs.0[3].wait().unwrap().success());
    threads
}
