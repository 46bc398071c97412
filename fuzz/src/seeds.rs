//! Inputs to start from: regions written by the reference, regions of our own server, and short scripts.

use crate::client::OPS;
use crate::live::{neighbour, unique};
use crate::region::flag;
use shmx::{Checksum, Client, Hold, Inspector, Server, StreamSpec};
use shmx_abi::region::RegionRef;
use std::time::Duration;

/// Regions written by the reference implementation.
const GOLDEN: [(&str, &[u8]); 5] = [
    ("minimal", include_bytes!("../../crates/shmx-abi/tests/golden/minimal.bin")),
    ("appended", include_bytes!("../../crates/shmx-abi/tests/golden/appended.bin")),
    ("control_wrap", include_bytes!("../../crates/shmx-abi/tests/golden/control_wrap.bin")),
    ("demo", include_bytes!("../../crates/shmx-abi/tests/golden/demo.bin")),
    ("types", include_bytes!("../../crates/shmx-abi/tests/golden/types.bin")),
];

/// A region of our own server after `frames` frames, with a reader that holds one and has sent two messages.
fn own(slots: u32, frames: u64, control: u32, checksum: bool) -> Vec<u8> {
    let name = unique();
    let position = StreamSpec::of::<[f32; 3]>(2, "p").extra(b"m".to_vec());
    let builder = Server::builder(&name).stream(StreamSpec::of::<u64>(1, "tick"), 2).stream(position, 1);
    let builder = builder.slots(slots).reader_slots(2).directory_bytes(256).frame_bytes(160).control_bytes(control);
    let builder = builder.checksum(if checksum { Checksum::Always } else { Checksum::Never });
    let mut server = builder.create().expect("a server can be made");
    let mut client = Client::options().copy_up_to(0).hold(Hold::Lease).open(&name).expect("and opened");
    let sender = client.control();
    for n in 0..frames {
        let mut frame = server.begin_frame().expect("a slot is free");
        frame.append_stream(1, &[n, n * n]).expect("it fits");
        frame.append_stream(2, &[[n as f32; 3]]).expect("it fits");
        frame.publish_frame(n as f64).expect("the region is ours");
    }
    let held = client.latest();
    let _ = sender.send(0x3000, b"hello");
    let _ = sender.send(0x3001, &[7; 20]);
    let dump = Inspector::open(&name).expect("and looked at").dump();
    drop(held);
    drop((client, sender, server));
    assert!(neighbour(&name).is_none(), "seeds leave nothing behind");
    dump
}

/// A region of our own server in the middle of a frame that a reader follows.
fn open_slot() -> Vec<u8> {
    let name = unique();
    let builder = Server::builder(&name).stream(StreamSpec::of::<u64>(1, "tick"), 8).slots(3).reader_slots(2);
    let mut server = builder.directory_bytes(128).frame_bytes(160).control_bytes(0).create().expect("it can be made");
    let mut client = Client::open(&name).expect("and opened");
    assert!(client.follow(Duration::ZERO).expect("it lives").is_none());
    let mut frame = server.begin_frame().expect("a slot is free");
    let mut fill = frame.fill_stream::<u64>(1, 8).expect("it fits");
    fill.write(&[1, 2, 3]).expect("there is room");
    let dump = Inspector::open(&name).expect("and looked at").dump();
    drop(frame);
    drop((client, server));
    assert!(neighbour(&name).is_none(), "seeds leave nothing behind");
    dump
}

fn all_regions() -> Vec<(String, Vec<u8>)> {
    let mut list: Vec<_> = GOLDEN.iter().map(|(name, bytes)| ((*name).to_owned(), bytes.to_vec())).collect();
    list.push(("own".to_owned(), own(3, 5, 96, true)));
    list.push(("own_one_slot".to_owned(), own(1, 1, 17, true)));
    list.push(("own_empty".to_owned(), own(2, 0, 0, true)));
    list.push(("own_open".to_owned(), open_slot()));
    list.push(("own_unchecked".to_owned(), own(4, 9, 128, false)));
    list
}

/// Nothing is repaired; or all but the layout; or everything.
const FLAGS: [u16; 3] = [
    flag::LOCKED | flag::VERIFY | flag::LEASE,
    !(flag::GEOMETRY | flag::LEASES | flag::FREE | flag::COPY_SMALL),
    0xFFFF,
];

/// Seeds of the targets whose input is a region.
#[must_use]
pub fn regions() -> Vec<(String, Vec<u8>)> {
    let mut list = Vec::new();
    for (name, bytes) in all_regions() {
        for flags in FLAGS {
            list.push((format!("{name}_{flags:04x}"), [&flags.to_le_bytes()[..], &bytes].concat()));
        }
        // Large regions also in small: their sections in one of the least layout.
        if let Ok(region) = RegionRef::parse(&bytes)
            && bytes.len() > 4096
        {
            let small = &bytes[..region.layout().control_offset() as usize];
            list.push((format!("{name}_small"), [&0xFFFF_u16.to_le_bytes()[..], small].concat()));
        }
    }
    list
}

/// Seeds of the client: each region under a few scripts.
#[must_use]
pub fn clients() -> Vec<(String, Vec<u8>)> {
    // Every reading call; sends until the ring is full; scribbles between; leases kept and given back.
    let scripts: [&[u8]; 5] = [
        &[0, 1, 6, 2, 1, 2, 5, 3, 5, 8, 10, 0, 7, 0, 7, 0, 1, 1, 1, 3],
        &[4, 6, 20, 4, 6, 5, 4, 6, 40, 4, 6, 0, 4, 0, 9, 4, 6, 255, 0, 1],
        &[0, 9, 112, 0, 1, 0, 9, 24, 0, 11, 1, 2, 3, 4, 1, 9, 20, 0, 2, 3, 5],
        &[0, 0, 0, 0, 7, 1, 0, 7, 0, 1, 7, 2, 7, 0, 0, 1, 6],
        // Frames that are being written, with scribbles over the slots' heads.
        &[11, 0, 3, 1, 1, 1, 11, 1, 2, 0, 56, 2, 4, 0, 0, 0, 1, 11, 0, 2, 0, 32, 2, 200, 0, 0, 0, 1, 11, 1, 3],
    ];
    let mut list = Vec::new();
    for (n, script) in scripts.iter().enumerate() {
        let mut fixed = [10_u8; OPS];
        fixed[..script.len()].copy_from_slice(script);
        // The last byte says whether a server comes for the name, and whether it may replace anything.
        fixed[OPS - 1] = [0, 1, 3, 0, 0][n];
        for (name, seed) in regions() {
            let (flags, region) = seed.split_at(crate::region::PREFIX);
            // Some scripts over every region, the others over those that everything was repaired in.
            if n < 3 || name.ends_with("ffff") || name.ends_with("small") {
                list.push((format!("{name}_{n}"), [flags, &fixed, region].concat()));
            }
        }
    }
    list
}

/// Seeds of the server: parameters, then operations.
#[must_use]
pub fn servers() -> Vec<(String, Vec<u8>)> {
    let small: [u8; 7] = [2, 2, 200, 200, 96, 1, 1];
    let scripts: [(&str, &[u8]); 7] = [
        ("publish", &[0, 2, 3, 0, 16, 0, 4, 3, 1, 16, 0, 0, 0, 0, 0, 5, 1, 2, 30, 3, 40, 8, 4, 1]),
        // A message of type 0x3000 in ring 0: body bytes, header, write position; then a poll.
        ("message", &[9, 0, 0, 4, 1, 2, 3, 4, 0, 6, 8, 12, 8, 0, 1, 32, 1, 2, 10, 2, 10]),
        ("damage", &[8, 0, 0, 2, 2, 1, 2, 19, 9, 1, 8, 3, 9, 9, 9, 0, 2, 2, 8, 1, 2, 9, 1, 2, 19, 2, 19]),
        ("reap", &[10, 0, 6, 1, 10, 0, 0, 8, 5, 3, 4, 8, 7, 1, 10, 1, 6, 1, 10, 1, 2, 8, 1, 4, 2, 0, 3, 3]),
        ("directory", &[6, 9, 6, 9, 6, 1, 7, 16, 0, 48, 0, 0, 8, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 6, 30, 5]),
        ("stamps", &[11, 0, 14, 1, 11, 1, 14, 1, 0, 1, 0, 11, 2, 10, 1, 0, 1, 0, 0, 1, 0, 1, 0, 5]),
        ("session", &[12, 6, 0, 0, 1, 0, 1, 0, 12, 28, 3, 2, 9, 1, 1, 24, 2, 4, 1, 0]),
    ];
    let mut list: Vec<_> = scripts.iter().map(|(name, ops)| ((*name).to_owned(), [&small, *ops].concat())).collect();
    // The same for a server of one thread.
    let mut alone = small;
    alone[6] = 3;
    list.extend(scripts.iter().map(|(name, ops)| (format!("{name}_alone"), [&alone, *ops].concat())));
    // A directory entry of 48 bytes for stream 5, twice: the second is refused.
    let mut entry = [0_u8; 50];
    (entry[0], entry[1], entry[3], entry[6], entry[10]) = (7, 48, 0x10, 32, 5);
    list.push(("raw_entries".to_owned(), [&small[..], &entry, &entry, &[6, 5]].concat()));
    let tiny: [u8; 7] = [0, 0, 0, 40, 0, 0, 0];
    list.push(("one_slot".to_owned(), [&tiny[..], &[0, 1, 0, 0, 1, 0, 1, 0, 0, 2, 5, 3, 4]].concat()));
    list
}

/// Seeds of the state machine: parameters, then operations.
#[must_use]
pub fn states() -> Vec<(String, Vec<u8>)> {
    let honest: [u8; 5] = [0, 2, 2, 100, 80];
    let scripts: [(&str, &[u8]); 6] = [
        ("latest", &[4, 0, 1, 1, 0, 9, 30, 6, 0, 0, 0, 0, 1, 8, 20, 6, 0, 0, 0, 1, 10, 0, 13, 3]),
        (
            "order",
            &[4, 1, 1, 1, 0, 1, 1, 0, 2, 1, 0, 3, 1, 1, 0, 4, 1, 6, 1, 1, 0, 1, 6, 1, 4, 0, 1, 2, 5, 6, 6, 1, 3, 0],
        ),
        (
            "full",
            &[
                4, 0, 1, 1, 1, 1, 0, 6, 0, 0, 0, 0, 1, 2, 0, 6, 0, 0, 0, 0, 1, 3, 0, 6, 0, 0, 0, 0, 1, 4, 0, 13, 3, 10,
                1,
            ],
        ),
        ("abandon", &[1, 7, 7, 3, 3, 4, 2, 1, 1, 6, 2, 0, 0, 0, 3, 3, 6, 2, 0, 0, 1, 13, 4, 5, 2]),
        (
            "messages",
            &[4, 0, 1, 1, 4, 1, 1, 1, 11, 0, 9, 20, 11, 1, 8, 5, 11, 0, 7, 0, 13, 5, 12, 1, 12, 9, 11, 0, 6, 40, 12, 9],
        ),
        ("restart", &[4, 0, 1, 1, 1, 5, 5, 6, 0, 0, 0, 0, 13, 0, 4, 0, 1, 1, 13, 1, 3, 13, 2, 1, 6, 6, 13, 3]),
    ];
    let mut list: Vec<_> = Vec::new();
    for (name, ops) in scripts {
        list.push((name.to_owned(), [&honest, ops].concat()));
        let mut hostile = [&honest, ops, &[14, 0, 28, 0, 15, 1, 200, 0, 9], ops].concat();
        hostile[0] = 1;
        list.push((format!("{name}_scribbled"), hostile));
        for (first, what) in [(2, "alone"), (3, "alone_scribbled")] {
            let mut alone = list[list.len() - if first == 2 { 2 } else { 3 }].1.clone();
            alone[0] = first;
            list.push((format!("{name}_{what}"), alone));
        }
    }
    list
}
