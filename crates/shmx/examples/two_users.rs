//! A producer and a reader of different users, or in different containers. `two_users serve|read REGION`
//!
//! Readers write to a region too: their place in it, their leases, their messages. So they need both permissions, which
//! the server gives to its group here; `mode(0o666)` gives them to everybody, and `mode(0o644)` lets others watch
//! (`monitor`).
//!
//! ```text
//! sudo -u camera -g vision two_users serve robot     # the group of the process becomes the region's
//! sudo -u viewer -g vision two_users read robot
//! ```
//!
//! Containers need one `/dev/shm`: `--ipc=shareable` for the first and `--ipc=container:FIRST` for the others, or
//! `-v /dev/shm:/dev/shm` for all. In process namespaces of their own they see each other's death all the same: it is
//! told by locks, not by process ids.

use shmx::error::ReadError;
use shmx::{Client, Server, Stream};
use std::time::Duration;

const TICK: Stream<u64> = Stream::new(1, "tick");
const ENOUGH: u32 = shmx::abi::TLV_CONTROL_USER + 1;

pub(crate) fn main() -> Result<(), Box<dyn std::error::Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match args.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["serve", name, ..] => serve(name),
        ["read", name, ..] => read(name),
        _ => Err("two_users serve|read REGION".into()),
    }
}

fn serve(name: &str) -> Result<(), Box<dyn std::error::Error>> {
    let mut server = Server::builder(name).mode(0o660).stream(TICK, 1).create()?;
    for tick in 1.. {
        if server.poll_control(16).messages.iter().any(|m| m.ty == ENOUGH) {
            println!("a reader says that it is enough");
            break;
        }
        if let Ok(mut frame) = server.begin_frame() {
            frame.append_value(TICK, tick)?;
            frame.publish_frame(tick as f64)?;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    Ok(())
}

fn read(name: &str) -> Result<(), Box<dyn std::error::Error>> {
    let mut client = Client::open_within(name, Duration::from_secs(10))?;
    for _ in 0..10 {
        match client.wait(Duration::from_secs(10)) {
            Ok(Some(frame)) => println!("tick {}", frame.get(TICK)?[0]),
            Ok(None) => println!("nothing for ten seconds"),
            Err(ReadError::ServerGone { .. }) => return Ok(()),
            Err(e) => return Err(e.into()),
        }
    }
    client.control().send(ENOUGH, &[])?;
    Ok(())
}
