//! Bridges as processes of their own, and regions to carry.

use serde_json::Value;
use shmx::{Client, Frame, Server, Stream};
use shmx_bridge::{MARK_NAME, MARK_WORDS, Origin};
use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

pub(crate) const V: Stream<u64> = Stream::new(1, "v");
pub(crate) const DATA: Stream<u8> = Stream::new(2, "data");
pub(crate) const PROGRAM: &str = env!("CARGO_BIN_EXE_shmx-bridge");

/// A name that nothing else has, and that says whose it is.
pub(crate) fn unique(tag: &str) -> String {
    shmx_testkit::unique(&format!("zb-{tag}"))
}

/// Waits until it is so; fails after a minute and a half: processes and networks of their own begin slowly.
pub(crate) fn until<T>(what: &str, mut so: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + Duration::from_secs(90);
    loop {
        if let Some(t) = so() {
            return t;
        }
        assert!(Instant::now() < end, "not in time: {what}");
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// A port of the loopback address that nobody uses now.
pub(crate) fn port() -> u16 {
    TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).expect("a port").port()
}

pub(crate) fn serve(name: &str, bytes: u32) -> Server {
    Server::builder(name).slots(8).stream(V, 1).stream(DATA, bytes).create().expect("a region")
}

pub(crate) fn publish(server: &mut Server, n: u64, data: &[u8]) -> u64 {
    let mut f = server.begin_frame().expect("a slot");
    f.append_value(V, n).expect("room");
    f.append_stream(DATA, data).expect("room");
    f.publish_frame(n as f64).expect("publish")
}

/// Bytes that are different for every frame.
pub(crate) fn pattern(n: u64, len: usize) -> Vec<u8> {
    (0..len as u64).map(|i| (n.wrapping_mul(31).wrapping_add(i * 7) >> 3) as u8).collect()
}

pub(crate) fn attach(name: &str) -> Client {
    Client::open_within(name, Duration::from_secs(60)).unwrap_or_else(|e| panic!("{name}: {e}"))
}

pub(crate) fn origin(frame: &Frame<'_>) -> Origin {
    let words = frame.get::<u64>(MARK_NAME).expect("a mark");
    Origin::from_words(*words.first_chunk::<MARK_WORDS>().expect("all of it"))
}

/// A bridge, killed with its value.
pub(crate) struct Bridge {
    child: Child,
    said: Arc<Mutex<Vec<String>>>,
    status: Arc<Mutex<Option<Value>>>,
}

impl Bridge {
    /// Starts one, behind the words that take it to its host.
    pub(crate) fn start(on: &[String], args: &[&str]) -> Self {
        let words: Vec<&str> = on.iter().map(String::as_str).chain([PROGRAM, "run", "--status", "0.2"]).collect();
        let mut command = Command::new(words[0]);
        command.args(&words[1..]).args(args).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("the bridge");
        let (said, status) = (Arc::new(Mutex::new(Vec::new())), Arc::new(Mutex::new(None)));
        let (out, err) = (child.stdout.take().expect("stdout"), child.stderr.take().expect("stderr"));
        let latest = status.clone();
        std::thread::spawn(move || {
            for line in BufReader::new(out).lines().map_while(Result::ok) {
                *latest.lock().unwrap() = serde_json::from_str(&line).ok();
            }
        });
        let lines = said.clone();
        std::thread::spawn(move || {
            for line in BufReader::new(err).lines().map_while(Result::ok) {
                lines.lock().unwrap().push(line);
            }
        });
        Self { child, said, status }
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn has_said(&self, text: &str) -> bool {
        self.said.lock().unwrap().iter().any(|l| l.contains(text))
    }

    pub(crate) fn all_said(&self) -> String {
        self.said.lock().unwrap().join("\n")
    }

    /// Waits until it has said something with this text.
    pub(crate) fn says(&self, text: &str) {
        until(&format!("`{text}` in what was said"), || self.has_said(text).then_some(()));
    }

    /// Its last status.
    pub(crate) fn status(&self) -> Value {
        until("a status", || self.status.lock().unwrap().clone())
    }

    /// Peak of its memory, in bytes.
    pub(crate) fn peak_memory(&self) -> u64 {
        let text = std::fs::read_to_string(format!("/proc/{}/status", self.id())).unwrap_or_default();
        let line = text.lines().find(|l| l.starts_with("VmHWM:")).unwrap_or_default();
        line.split_whitespace().nth(1).and_then(|n| n.parse::<u64>().ok()).unwrap_or(0) * 1024
    }

    /// Time that its threads have spent on processors.
    pub(crate) fn busy(&self) -> Duration {
        let text = std::fs::read_to_string(format!("/proc/{}/stat", self.id())).unwrap_or_default();
        let after = text.rsplit(')').next().unwrap_or_default();
        let ticks = |i: usize| after.split_whitespace().nth(i).and_then(|n| n.parse::<u64>().ok()).unwrap_or(0);
        // utime and stime, a hundred ticks a second.
        Duration::from_millis((ticks(11) + ticks(12)) * 10)
    }

    pub(crate) fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// How it has ended.
    pub(crate) fn code(&mut self) -> Option<i32> {
        until("its end", || self.child.try_wait().expect("its end")).code()
    }

    /// Ends it as a terminal would, and waits for its end.
    pub(crate) fn interrupt(mut self) {
        let _ = Command::new("kill").args(["-INT", &self.id().to_string()]).status();
        let _ = self.child.wait();
    }
}

impl Drop for Bridge {
    fn drop(&mut self) {
        self.kill();
    }
}
