//! Streams asked for with types known at run time, and records written in place: what bindings use.

use shmx::error::{AppendError, LookupError};
use shmx::{Client, ElementType, Server, Stream, StreamRef};

const TICK: Stream<u64> = Stream::new(1, "tick");
const POSITION: Stream<[f32; 3]> = Stream::new(2, "position");

fn server(name: &str) -> Server {
    Server::builder(name).stream(TICK, 1).stream(POSITION, 4).create().unwrap()
}

fn name(of: &str) -> String {
    format!("shmx-asked-{of}-{}", std::process::id())
}

const ASKED: StreamRef<'static> = StreamRef { id: 2, name: Some(b"position"), element: Some((ElementType::F32, 3)) };

#[test]
fn what_is_asked_for_is_compared_with_the_directory() {
    let name = name("compared");
    let mut server = server(&name);
    let mut client = Client::open(&name).unwrap();
    let mut frame = server.begin_frame().unwrap();
    let wrong = StreamRef { element: Some((ElementType::F64, 3)), ..ASKED };
    assert!(matches!(frame.append_as(wrong, &[0; 24]), Err(AppendError::Stream(LookupError::Type { .. }))));
    let wrong = StreamRef { name: Some(b"velocity"), ..ASKED };
    assert!(matches!(frame.append_as(wrong, &[0; 12]), Err(AppendError::Stream(LookupError::Name { .. }))));
    let wrong = StreamRef { id: 9, ..ASKED };
    assert!(matches!(frame.append_as(wrong, &[0; 12]), Err(AppendError::Stream(LookupError::Unknown { .. }))));
    assert!(matches!(frame.append_as(ASKED, &[0; 13]), Err(AppendError::Length { .. })));
    let flat = StreamRef { id: 2, name: None, element: Some((ElementType::F32, 1)) };
    frame.reserve_as(flat, 24).unwrap().fill(0);
    assert_eq!(frame.stream_count(), 1);
    assert!(matches!(frame.append_as(ASKED, &[0; 12]), Err(AppendError::DuplicateStream { id: 2 })));
    frame.publish_frame(0.0).unwrap();

    let frame = client.latest().unwrap().unwrap();
    assert_eq!(frame.stream(2).unwrap().unwrap().elem_count, 2);
    let directory = frame.directory().unwrap();
    assert_eq!(directory.lookup(StreamRef { id: 7, ..ASKED }).unwrap().id, 2, "a reader goes by the name");
    assert!(directory.lookup(StreamRef { id: 7, name: None, element: None }).is_err());
    assert!(directory.lookup(StreamRef { id: 1, name: None, element: Some((ElementType::F32, 1)) }).is_err());
    assert_eq!(frame.keep().directory().unwrap().streams.len(), 2);
}

#[test]
fn records_are_written_in_place() {
    let name = name("records");
    let mut server = server(&name);
    let mut client = Client::open(&name).unwrap();
    let mut frame = server.begin_frame().unwrap();
    frame.append_value(TICK, 7).unwrap();
    let used = frame.used();
    let room = frame.records_room().unwrap();
    let len = room.len();
    // Type, length, number, elements, bytes, reserved.
    for (place, word) in room.chunks_exact_mut(4).zip([0x2000_u32, 24, 77, 1, 8, 0, 5, 0]) {
        place.copy_from_slice(&word.to_ne_bytes());
    }
    assert!(matches!(frame.commit_records(len as u32 + 1, 1), Err(AppendError::Records { .. })));
    frame.commit_records(32, 1).unwrap();
    assert_eq!((frame.used(), frame.stream_count()), (used + 32, 2));
    frame.publish_frame(0.0).unwrap();
    let frame = client.latest().unwrap().unwrap();
    assert_eq!(frame.stream(77).unwrap().unwrap().data, 5_u64.to_ne_bytes());
    assert_eq!(frame.value(TICK).unwrap(), 7);
}
