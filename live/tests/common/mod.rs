//! `shmx-live` as a process, regions for it, and clients that need not behave.

#![allow(dead_code, reason = "each test program uses a part")]

use serde_json::{Value, json};
use shmx::{Server, Stream};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;
use tungstenite::client::IntoClientRequest;
use tungstenite::{Message, WebSocket};

pub(crate) use shmx_testkit::{PATIENCE, until_some as until};

pub(crate) const TICK: Stream<u64> = Stream::new(1, "tick");
pub(crate) const BULK: Stream<u8> = Stream::new(2, "bulk");

pub(crate) fn name(what: &str) -> String {
    shmx_testkit::unique(&format!("live-{what}"))
}

/// A region with a frame every few milliseconds, until it is dropped.
pub(crate) struct Producer {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Producer {
    pub(crate) fn new(name: &str, bulk: u32) -> Self {
        let mut server = Server::builder(name).stream(TICK, 1).stream(BULK, bulk.max(1)).slots(4).create().unwrap();
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = std::thread::spawn(move || {
            let data = vec![7_u8; bulk as usize];
            for tick in 1.. {
                if stopped.load(Ordering::Relaxed) {
                    break;
                }
                let mut f = server.begin_frame().unwrap();
                f.append_value(TICK, tick).unwrap();
                f.append_stream(BULK, &data).unwrap();
                f.publish_frame(0.0).unwrap();
                std::thread::sleep(Duration::from_millis(5));
            }
        });
        Self { stop, thread: Some(thread) }
    }
}

impl Drop for Producer {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

/// The program with its link.
pub(crate) struct Live {
    pub(crate) child: Child,
    pub(crate) host: String,
    pub(crate) token: String,
    pub(crate) stderr: Arc<Mutex<String>>,
}

impl Live {
    pub(crate) fn start(args: &[&str]) -> Self {
        Self::with(args, &[])
    }

    pub(crate) fn with(args: &[&str], variables: &[(&str, &str)]) -> Self {
        let mut command = shmx_testkit::program(env!("CARGO_BIN_EXE_shmx-live"));
        command.args(args).args(["--listen", "127.0.0.1:0", "--quiet"]).env_remove("SHMX_LIVE_TOKEN");
        Self::of(command.envs(variables.iter().copied()).stderr(Stdio::piped()))
    }

    pub(crate) fn of(command: &mut Command) -> Self {
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
        let stderr = Arc::new(Mutex::new(String::new()));
        if let Some(mut from) = child.stderr.take() {
            let to = Arc::clone(&stderr);
            std::thread::spawn(move || {
                let mut some = [0; 4096];
                while let Ok(n @ 1..) = from.read(&mut some) {
                    to.lock().unwrap().push_str(&String::from_utf8_lossy(&some[..n]));
                }
            });
        }
        let mut link = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut link).unwrap();
        let (host, token) = link.trim().strip_prefix("http://").unwrap().split_once("/#token=").unwrap();
        let (host, token) = (host.to_owned(), token.to_owned());
        Self { child, host, token, stderr }
    }

    /// The process that touches regions.
    pub(crate) fn worker(&self) -> u32 {
        until("a worker", || self.worker_now())
    }

    pub(crate) fn worker_now(&self) -> Option<u32> {
        let id = self.child.id();
        let children = std::fs::read_to_string(format!("/proc/{id}/task/{id}/children")).unwrap_or_default();
        children.split_whitespace().next()?.parse().ok()
    }

    pub(crate) fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(&self.host).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        stream
    }

    /// Status, head and body of an answer to lines of a request; 0 if there is none.
    pub(crate) fn ask(&self, lines: &[&str]) -> (u16, String) {
        let mut stream = self.connect();
        let _ = stream.write_all(format!("{}\r\nConnection: close\r\n\r\n", lines.join("\r\n")).as_bytes());
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        let text = String::from_utf8_lossy(&answer).into_owned();
        (text.split(' ').nth(1).and_then(|s| s.parse().ok()).unwrap_or(0), text)
    }

    pub(crate) fn get(&self, path: &str) -> (u16, String) {
        self.ask(&[&format!("GET {path} HTTP/1.1"), &format!("Host: {}", self.host)])
    }

    /// What a WebSocket's request is answered with.
    pub(crate) fn upgrade(&self, host: &str, more: &[&str]) -> u16 {
        let host = format!("Host: {host}");
        let mut lines = vec!["GET /ws HTTP/1.1", &host, "Upgrade: websocket", "Sec-WebSocket-Version: 13"];
        lines.push("Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==");
        lines.extend(more);
        let mut stream = self.connect();
        stream.write_all(format!("{}\r\nConnection: Upgrade\r\n\r\n", lines.join("\r\n")).as_bytes()).unwrap();
        let mut answer = String::new();
        BufReader::new(stream).read_line(&mut answer).unwrap();
        answer.split(' ').nth(1).and_then(|s| s.parse().ok()).unwrap_or(0)
    }

    pub(crate) fn protocols(&self) -> String {
        format!("shmx.live.1, token.{}", self.token)
    }

    pub(crate) fn try_viewer(&self) -> Result<Viewer, tungstenite::Error> {
        let mut request = format!("ws://{}/ws", self.host).into_client_request()?;
        request.headers_mut().insert("sec-websocket-protocol", self.protocols().parse().unwrap());
        match tungstenite::client(request, Patient(self.connect())) {
            Ok((socket, _)) => Ok(Viewer { socket }),
            Err(tungstenite::HandshakeError::Failure(e)) => Err(e),
            Err(e @ tungstenite::HandshakeError::Interrupted(_)) => panic!("{e}"),
        }
    }

    pub(crate) fn viewer(&self) -> Viewer {
        self.try_viewer().unwrap()
    }

    pub(crate) fn signal(&self, signal: rustix::process::Signal) {
        let pid = rustix::process::Pid::from_raw(self.child.id().cast_signed()).unwrap();
        let _ = rustix::process::kill_process(pid, signal);
    }

    /// How it has ended.
    pub(crate) fn ended(&mut self) -> std::process::ExitStatus {
        until("its end", || self.child.try_wait().unwrap())
    }

    /// Ends it; what it has said.
    pub(crate) fn end(mut self) -> String {
        self.signal(rustix::process::Signal::TERM);
        assert!(self.ended().success());
        self.stderr.lock().unwrap().clone()
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        if let Ok(None) = self.child.try_wait() {
            self.signal(rustix::process::Signal::TERM);
            let _ = self.child.wait();
        }
    }
}

/// A stream that tries again when it is interrupted, as a stopped process is. A call with a timeout reports that on
/// Linux (signal(7)), and a WebSocket passes it on.
pub(crate) struct Patient(pub(crate) TcpStream);

impl Patient {
    fn again<T>(&mut self, mut call: impl FnMut(&mut TcpStream) -> io::Result<T>) -> io::Result<T> {
        loop {
            match call(&mut self.0) {
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                other => return other,
            }
        }
    }
}

impl Read for Patient {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        self.again(|s| s.read(to))
    }
}

impl Write for Patient {
    fn write(&mut self, from: &[u8]) -> io::Result<usize> {
        self.again(|s| s.write(from))
    }

    fn flush(&mut self) -> io::Result<()> {
        self.again(Write::flush)
    }
}

/// A page in a few lines.
pub(crate) struct Viewer {
    pub(crate) socket: WebSocket<Patient>,
}

impl Viewer {
    pub(crate) fn send(&mut self, what: &Value) {
        self.socket.send(Message::text(what.to_string())).unwrap();
    }

    pub(crate) fn look_at(&mut self, region: &str, streams: &Value) {
        self.send(&json!({"op": "look", "on": true}));
        self.send(&json!({"op": "subscribe", "region": region, "streams": streams}));
    }

    pub(crate) fn ack(&mut self, region: &str) {
        self.send(&json!({"op": "ack", "region": region}));
    }

    /// The head of the next frame.
    pub(crate) fn frame(&mut self) -> Value {
        loop {
            if let Message::Binary(b) = self.socket.read().unwrap() {
                let word = |at: usize| u32::from_le_bytes(b[at..at + 4].try_into().unwrap()) as usize;
                return serde_json::from_slice(&b[word(0)..word(0) + word(4)]).unwrap();
            }
        }
    }

    /// The next text with this `op`.
    pub(crate) fn text(&mut self, op: &str) -> Value {
        loop {
            if let Message::Text(t) = self.socket.read().unwrap() {
                let value: Value = serde_json::from_str(&t).unwrap();
                if value["op"] == op {
                    return value;
                }
            }
        }
    }
}
