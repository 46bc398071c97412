//! What this program does as a child of itself.

use crate::bridge::{DATA, attach, pattern, publish, serve};
use std::io::{IoSlice, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

pub(crate) fn now_ns() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_nanos() as u64)
}

/// Starts this program as a child, behind the words that take it to a host.
pub(crate) fn start(on: &[String], args: &[&str]) -> Child {
    let me = std::env::current_exe().expect("this program");
    let words: Vec<&str> = on.iter().map(String::as_str).chain([me.to_str().expect("a path")]).collect();
    let mut command = Command::new(words[0]);
    command.args(&words[1..]).args(args).stdin(Stdio::null()).stdout(Stdio::piped());
    command.spawn().expect("a child")
}

fn connect(address: &str) -> Option<TcpStream> {
    let stream = TcpStream::connect(address).ok()?;
    stream.set_nodelay(true).ok()?;
    Some(stream)
}

fn send(stream: &mut TcpStream, at_ns: u64, data: &[u8]) -> Option<()> {
    // Both at once, as long as the link takes them.
    let sent = stream.write_vectored(&[IoSlice::new(&at_ns.to_le_bytes()), IoSlice::new(data)]).ok()?;
    let head = at_ns.to_le_bytes();
    stream.write_all(&head[sent.min(8)..]).ok()?;
    stream.write_all(&data[sent.saturating_sub(8)..]).ok()
}

/// Does a child's work, if that is what was asked for.
pub(crate) fn run(args: &[String]) -> Option<ExitCode> {
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    match args[..] {
        // A producer: its region, bytes of a frame, and frames per second.
        ["--produce", name, bytes, hz] => {
            let (bytes, hz): (usize, f64) = (bytes.parse().ok()?, hz.parse().ok()?);
            let mut server = serve(name, bytes as u32);
            let data = pattern(1, bytes);
            let start = Instant::now();
            for n in 1.. {
                publish(&mut server, n, &data);
                let due = start + Duration::from_secs_f64(n as f64 / hz);
                std::thread::sleep(due.saturating_duration_since(Instant::now()));
            }
        }
        // A bare copy: frames behind the time at which they were begun.
        ["--copy-to", address, bytes, count] => {
            let (bytes, count): (usize, u64) = (bytes.parse().ok()?, count.parse().ok()?);
            let mut stream = connect(address)?;
            let data = pattern(1, bytes);
            let start = Instant::now();
            for n in 1..=count {
                send(&mut stream, now_ns(), &data)?;
                let due = start + Duration::from_secs_f64(n as f64 / 60.0);
                std::thread::sleep(due.saturating_duration_since(Instant::now()));
            }
        }
        // The same out of a region, straight from the slot that the reader holds: behind the time of publishing.
        ["--copy-region-to", address, name, count] => {
            let mut stream = connect(address)?;
            let mut client = attach(name);
            for _ in 0..count.parse().ok()? {
                let frame = client.wait(Duration::from_secs(5)).ok()??;
                let age = frame.age().map_or(0, |age| age.as_nanos() as u64);
                send(&mut stream, now_ns() - age, frame.get::<u8>(DATA.name()).ok()?)?;
            }
        }
        // Its other end: prints the age of each frame in nanoseconds.
        ["--copy-from", address, bytes] => {
            let listener = TcpListener::bind(address).ok()?;
            println!("ready");
            let (mut stream, _) = listener.accept().ok()?;
            let (mut at, mut data) = ([0; 8], vec![0; bytes.parse().ok()?]);
            while stream.read_exact(&mut at).and_then(|()| stream.read_exact(&mut data)).is_ok() {
                println!("{}", now_ns().saturating_sub(u64::from_le_bytes(at)));
            }
        }
        _ => return None,
    }
    Some(ExitCode::SUCCESS)
}
