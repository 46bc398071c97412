//! A link that takes its time: a relay for TCP that passes on what it gets so much later, both ways.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::mpsc::sync_channel;
use std::thread;
use std::time::{Duration, Instant};

/// Chunks of 64 KiB that are on their way at once; beyond that the sender waits.
const ON_THE_WAY: usize = 256;

/// A port of the loopback address that leads to another one, later. The relay lasts as long as this program.
pub(crate) fn to(port: u16, delay: Duration) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let own = listener.local_addr().expect("an address").port();
    thread::spawn(move || {
        for from in listener.incoming().flatten() {
            let Ok(to) = TcpStream::connect(("127.0.0.1", port)) else { continue };
            let Ok((from_too, to_too)) = from.try_clone().and_then(|f| Ok((f, to.try_clone()?))) else { continue };
            pass(from, to, delay);
            pass(to_too, from_too, delay);
        }
    });
    own
}

fn pass(mut from: TcpStream, mut to: TcpStream, delay: Duration) {
    let (send, receive) = sync_channel::<(Instant, Vec<u8>)>(ON_THE_WAY);
    let _ = to.set_nodelay(true);
    thread::spawn(move || {
        let mut buffer = vec![0; 1 << 16];
        while let Ok(len @ 1..) = from.read(&mut buffer) {
            if send.send((Instant::now() + delay, buffer[..len].to_vec())).is_err() {
                break;
            }
        }
    });
    thread::spawn(move || {
        for (due, bytes) in receive {
            thread::sleep(due.saturating_duration_since(Instant::now()));
            if to.write_all(&bytes).is_err() {
                break;
            }
        }
        let _ = to.shutdown(Shutdown::Both);
    });
}
