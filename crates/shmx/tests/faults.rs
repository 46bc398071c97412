//! No page fault after start-up. The only test in this file: page faults of other threads' making would be counted.
#![cfg(target_os = "linux")]
#![allow(missing_docs)]

use shmx::{Checksum, Client, Hold, Server, StreamSpec};

const WORDS: usize = 32 << 10;
const SLOTS: u32 = 4;

/// Page faults of this thread without input from a disk.
fn minor_faults() -> u64 {
    let stat = std::fs::read_to_string("/proc/thread-self/stat").expect("procfs");
    // After the name in parentheses, which may hold anything, comes field 3.
    let (_, fields) = stat.rsplit_once(')').expect("a name");
    fields.split_whitespace().nth(7).expect("the field").parse().expect("a number")
}

fn pair(which: &str, lease: bool) -> (Server, Client) {
    let name = format!("shmx-faults-{}-{which}", std::process::id());
    let builder = Server::builder(&name).slots(SLOTS).checksum(Checksum::Never);
    let server = builder.stream(StreamSpec::of::<u64>(1, "payload"), WORDS as u32).create().expect("create");
    let hold = if lease { Hold::Lease } else { Hold::Copy };
    let client = Client::options().hold(hold).open(&name).expect("open");
    (server, client)
}

/// Publishes and reads frames; every word is written and read.
fn exchange(server: &mut Server, client: &mut Client, expected: &mut [u64], frames: u64) {
    for frame in 0..frames {
        expected.fill(frame);
        let mut out = server.begin_frame().expect("a slot");
        out.reserve_stream::<u64>(1, WORDS).expect("it fits").fill(frame);
        out.publish_frame(0.0).expect("published");
        let view = client.try_next().expect("readable").expect("there");
        assert!(view.get::<u64>(1).expect("the stream") == expected);
    }
}

#[test]
fn there_is_no_page_fault_after_start_up() {
    if shmx_testkit::emulated() {
        println!("not run: an emulator's page faults are not the program's");
        return;
    }
    let mut expected = vec![0; WORDS];
    for lease in [true, false] {
        // The code itself, the heap and the stack are faulted in by a region that is gone before the measurement.
        let (mut server, mut client) = pair("warm", lease);
        exchange(&mut server, &mut client, &mut expected, u64::from(SLOTS) * 4);
        drop((server, client));

        let (mut server, mut client) = pair("cold", lease);
        let before = minor_faults();
        exchange(&mut server, &mut client, &mut expected, u64::from(SLOTS));
        let first = minor_faults() - before;
        // The kernel may move a page of its own accord; without pre-faulting there are dozens at least. Private copies
        // are another matter: their memory comes from the heap when it is first needed.
        assert!(first < 8 || !lease, "{first} page faults in the first lap");

        // In the long run there is none at all, but for what others may cause.
        let mut stretches = Vec::new();
        while !stretches.contains(&0) {
            assert!(stretches.len() < 5, "lease {lease}: page faults per 3000 frames: {stretches:?}");
            let before = minor_faults();
            exchange(&mut server, &mut client, &mut expected, 3000);
            stretches.push(minor_faults() - before);
        }
    }
}
