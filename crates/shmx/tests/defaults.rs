//! What a builder chooses where it is told nothing.

use crate::common::unique;
use shmx::abi::RegionLayout;
use shmx::{Server, ServerBuilder, StreamSpec};

fn layout(build: impl FnOnce(ServerBuilder) -> ServerBuilder) -> RegionLayout {
    *build(Server::builder(unique("defaults"))).create().unwrap().layout()
}

#[test]
fn a_server_has_eight_slots_and_four_where_they_are_large() {
    let of_bytes = |bytes: u32| layout(|b| b.frame_bytes(bytes).reader_slots(1));
    assert_eq!(layout(|b| b).slots(), 8);
    assert_eq!(of_bytes(1 << 20).slots(), 8);
    // A slot is its header and its payload; eight of these are 32 MiB to the byte, where eight are allowed still.
    let most = (4 << 20) - 64;
    assert_eq!((of_bytes(most).slots(), of_bytes(most + 1).slots()), (8, 4));
    assert_eq!(layout(|b| b.frame_bytes(8 << 20).reader_slots(1).slots(8)).slots(), 8, "what is asked for is done");
    let image = layout(|b| b.stream(StreamSpec::of::<[u8; 4]>(1, "image"), 1920 * 1080).reader_slots(1));
    assert_eq!(image.slots(), 4);
}

#[test]
fn everything_else_has_its_documented_default() {
    let empty = layout(|b| b);
    assert_eq!((empty.reader_slots(), empty.control_per_reader()), (16, 4096));
    assert_eq!((empty.frame_bytes_cap(), empty.static_bytes_cap()), (65536, 4096));
    let small = layout(|b| b.stream(StreamSpec::of::<u64>(1, "tick"), 100));
    assert!((800..1024).contains(&small.frame_bytes_cap()), "what the streams take: {}", small.frame_bytes_cap());
    let long = layout(|b| b.stream(StreamSpec::of::<u64>(1, "tick").extra(vec![b' '; 5000]), 1));
    assert!(long.static_bytes_cap() >= 6024, "room for more: {}", long.static_bytes_cap());
    assert!(layout(|b| b.stream(StreamSpec::of::<u64>(1, "tick"), 1).directory_bytes(0)).static_bytes_cap() < 128);
}
