//! What this program does as a child of itself.

use crate::bridge::{pattern, publish, serve};
use std::io::{Read, Write};
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
        // A bare copy of the same bytes: frames with the time at which they were begun.
        ["--copy-to", address, bytes, hz, count] => {
            let (bytes, hz, count): (usize, f64, u64) = (bytes.parse().ok()?, hz.parse().ok()?, count.parse().ok()?);
            let mut stream = TcpStream::connect(address).ok()?;
            let _ = stream.set_nodelay(true);
            let mut data = pattern(1, bytes);
            let start = Instant::now();
            for n in 1..=count {
                data[..8].copy_from_slice(&now_ns().to_le_bytes());
                stream.write_all(&data).ok()?;
                let due = start + Duration::from_secs_f64(n as f64 / hz);
                std::thread::sleep(due.saturating_duration_since(Instant::now()));
            }
        }
        // Its other end: prints the age of each frame in nanoseconds.
        ["--copy-from", address, bytes] => {
            let listener = TcpListener::bind(address).ok()?;
            println!("ready");
            let (mut stream, _) = listener.accept().ok()?;
            let mut data = vec![0; bytes.parse().ok()?];
            while stream.read_exact(&mut data).is_ok() {
                let sent = u64::from_le_bytes(*data.first_chunk()?);
                println!("{}", now_ns().saturating_sub(sent));
            }
        }
        _ => return None,
    }
    Some(ExitCode::SUCCESS)
}
