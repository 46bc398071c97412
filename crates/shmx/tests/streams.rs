//! Streams by type, number, name and handle: what fits, and what is said where it does not.

use crate::common::unique;
use bytemuck::{Pod, Zeroable};
use shmx::error::{AppendError, CreateError, LookupError, StreamError, ValueError};
use shmx::meta::{Clock, StreamMeta};
use shmx::{Client, Element, ElementType, Inspector, Server, Stream, StreamSpec, Tap};

const TICK: Stream<u64> = Stream::new(1, "tick");
const POSITION: Stream<[f32; 3]> = Stream::new(2, "position");
const FLAGS: Stream<bool> = Stream::new(3, "flags");

#[derive(Clone, Copy, Debug, PartialEq, Pod, Zeroable)]
#[repr(C)]
struct Pose {
    position: [f64; 3],
    orientation: [f64; 4],
}

impl Element for Pose {
    const TYPE: ElementType = ElementType::F64;
    const COMPONENTS: u32 = 7;
}

const POSE: Stream<Pose> = Stream::new(4, "pose");
const MATRIX: Stream<[[f32; 4]; 4]> = Stream::new(5, "matrix");

fn region(tag: &str) -> (Server, String) {
    let name = unique(tag);
    let builder = Server::builder(&name).stream(TICK, 1).stream(POSITION, 8).stream(FLAGS, 8);
    (builder.stream(POSE, 2).stream(MATRIX, 1).create().unwrap(), name)
}

#[test]
fn reads_are_compared_with_the_directory() {
    let (mut server, name) = region("types");
    let mut client = Client::open(&name).unwrap();
    let mut frame = server.begin_frame().unwrap();
    frame.append_stream(POSITION, &[[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]).unwrap();
    frame.publish_frame(0.0).unwrap();
    let frame = client.latest().unwrap().unwrap();

    assert_eq!(frame.get(POSITION).unwrap()[1], [4.0, 5.0, 6.0]);
    assert_eq!(frame.get::<[f32; 3]>(2).unwrap().len(), 2, "by number");
    assert_eq!(frame.get::<[f32; 3]>("position").unwrap().len(), 2, "by name");
    assert_eq!(frame.get::<f32>(2).unwrap(), [1.0, 2.0, 3.0, 4.0, 5.0, 6.0], "flat");
    let wrong = frame.get::<u32>(2).unwrap_err();
    let expected =
        LookupError::Type { id: 2, name: "position".to_owned(), found: "f32 x 3".to_owned(), asked: "u32".to_owned() };
    assert_eq!(wrong, ValueError::Stream(expected));
    assert_eq!(wrong.to_string(), "stream 2 `position` has elements of f32 x 3, not u32; ask for what it has");
    assert!(frame.get::<[f32; 2]>(2).is_err());
    assert_eq!(frame.value(TICK).unwrap_err(), ValueError::Absent { id: 1, frame_id: 1 });
    assert!(!frame.has(TICK).unwrap());
    let unknown = frame.get::<f32>("velocity").unwrap_err().to_string();
    assert!(unknown.contains("`velocity`") && unknown.contains("2 `position`"), "{unknown}");
    let kept = frame.keep();
    assert_eq!(kept.get::<u32>(2).unwrap_err(), wrong, "an owned frame knows the directory too");
    assert_eq!(kept.get(POSITION).unwrap()[0], [1.0, 2.0, 3.0]);
}

#[test]
fn writes_are_compared_with_the_directory() {
    let (mut server, _) = region("writes");
    let mut frame = server.begin_frame().unwrap();
    assert!(matches!(frame.append_stream(1, &[1.0_f32]), Err(AppendError::Stream(LookupError::Type { id: 1, .. }))));
    const RENAMED: Stream<u64> = Stream::new(1, "tock");
    let renamed = frame.append_stream(RENAMED, &[1]).unwrap_err().to_string();
    assert!(renamed.starts_with("stream 1 is `tick`, not `tock`"), "{renamed}");
    assert!(matches!(frame.append_stream(99, &[1_u8]), Err(AppendError::Stream(LookupError::Unknown { .. }))));
    assert_eq!(frame.used(), 0, "nothing was written");
    frame.append_stream(TICK, &[1]).unwrap();
    assert!(frame.publish_frame(0.0).is_ok());
}

#[test]
fn a_reader_goes_by_the_name_whatever_number_the_region_has() {
    let name = unique("names");
    const THEIRS: Stream<[f32; 3]> = Stream::new(70, "position");
    let mut server = Server::builder(&name).stream(THEIRS, 1).create().unwrap();
    let mut client = Client::open(&name).unwrap();
    let position = client.stream(POSITION).unwrap();
    assert_eq!(position.id(), 70);
    assert!(client.stream(TICK).unwrap_err().to_string().contains("70 `position`"));
    let mut frame = server.begin_frame().unwrap();
    frame.append_stream(THEIRS, &[[1.0; 3]]).unwrap();
    frame.publish_frame(0.0).unwrap();
    assert_eq!(client.latest().unwrap().unwrap().get(position).unwrap(), [[1.0; 3]]);
    assert_eq!(client.latest().unwrap().unwrap().get(POSITION).unwrap(), [[1.0; 3]]);
    // A handle of one reader in the frames of another is looked up again.
    let mut tap = Tap::open(&name).unwrap();
    assert_eq!(tap.try_next().unwrap().unwrap().get(position).unwrap(), [[1.0; 3]]);
    assert_eq!(Inspector::open(&name).unwrap().latest().unwrap().unwrap().get(POSITION).unwrap(), [[1.0; 3]]);
}

#[test]
fn structs_and_arrays_of_arrays_are_elements() {
    let (mut server, name) = region("structs");
    let mut client = Client::open(&name).unwrap();
    let pose = Pose { position: [1.0, 2.0, 3.0], orientation: [0.0, 0.0, 0.0, 1.0] };
    let matrix = [[1.0, 0.0, 0.0, 0.0], [0.0, 1.0, 0.0, 0.0], [0.0, 0.0, 1.0, 0.0], [5.0, 6.0, 7.0, 1.0]];
    let mut frame = server.begin_frame().unwrap();
    frame.reserve_stream(POSE, 1).unwrap()[0] = pose;
    frame.append_stream(MATRIX, &[matrix]).unwrap();
    frame.publish_frame(0.0).unwrap();
    let frame = client.latest().unwrap().unwrap();
    assert_eq!(frame.get(POSE).unwrap(), [pose]);
    assert_eq!(frame.value(MATRIX).unwrap(), matrix);
    assert_eq!(frame.get::<f64>("pose").unwrap().len(), 7);
}

#[test]
fn a_bool_is_copied_and_checked() {
    let (mut server, name) = region("bools");
    let mut client = Client::open(&name).unwrap();
    for bytes in [[1, 0, 1], [1, 2, 1]] {
        let mut frame = server.begin_frame().unwrap();
        frame.append_raw(3, 3, &bytes).unwrap();
        frame.publish_frame(0.0).unwrap();
        let frame = client.latest().unwrap().unwrap();
        match bytes[1] {
            0 => assert_eq!(frame.to_vec(FLAGS).unwrap(), [true, false, true]),
            _ => assert!(matches!(frame.to_vec(FLAGS), Err(ValueError::Cast { id: 3, bytes: 3, .. }))),
        }
        assert!(matches!(frame.value(FLAGS), Err(ValueError::NotOne { id: 3, elems: 3 })));
    }
}

#[test]
fn a_stream_added_later_is_found() {
    let (mut server, name) = region("added");
    let mut client = Client::open(&name).unwrap();
    assert_eq!(client.directory().unwrap().streams.len(), 5);
    server.add_stream(StreamSpec::of::<i16>(9, "late")).unwrap();
    let mut frame = server.begin_frame().unwrap();
    frame.append_stream(9, &[-3_i16]).unwrap();
    frame.publish_frame(0.0).unwrap();
    let kept = client.latest().unwrap().unwrap().keep();
    assert_eq!(kept.get::<i16>("late").unwrap(), [-3]);
    assert!(client.stream::<i16>(9).is_ok());
}

#[test]
fn what_a_stream_means_must_fit_it() {
    const IMAGE: Stream<[u8; 3]> = Stream::new(1, "image");
    let name = unique("meaning");
    let server = Server::builder(&name).image(IMAGE, 480, 640, "bgr8").acquisition_time(Clock::Monotonic).create();
    let server = server.unwrap();
    assert!(server.layout().frame_bytes_cap() >= 480 * 640 * 3);
    let directory = Inspector::open(&name).unwrap().directory().unwrap();
    let (meta, problems) = directory.by_name("image").unwrap().meta();
    assert_eq!((meta.image_size(), problems.len()), (Some((480, 640)), 0));
    assert_eq!(directory.by_name("acquisition_time").unwrap().meta().0.clock, Some(Clock::Monotonic));
    drop(server);

    let wrong = IMAGE.spec().meta(&StreamMeta::image(480, 640, "mono16"));
    let error = Server::builder(&name).stream(wrong, 480 * 640).create().unwrap_err();
    assert!(matches!(error, CreateError::Stream(StreamError::Meaning { id: 1, .. })), "{error:?}");
}

#[test]
fn sizes_follow_from_the_streams() {
    let (mut server, _) = region("sizes");
    let mut frame = server.begin_frame().unwrap();
    frame.append_stream(TICK, &[1]).unwrap();
    frame.append_stream(POSITION, &[[0.0; 3]; 8]).unwrap();
    frame.append_stream(FLAGS, &[true; 8]).unwrap();
    frame.append_stream(POSE, &[Pose::zeroed(); 2]).unwrap();
    frame.append_stream(MATRIX, &[[[0.0; 4]; 4]]).unwrap();
    frame.publish_frame(0.0).unwrap();
    let error = Server::builder(unique("large")).stream(POSE, u32::MAX).create().unwrap_err();
    assert!(matches!(error, CreateError::Stream(StreamError::TooLarge { id: 4, .. })), "{error:?}");
}

/// What `main` prints when it returns such an error: the text and its causes, each once.
#[test]
fn errors_print_as_text() {
    let error = Client::open("").unwrap_err();
    let printed = format!("{:?}", Box::<dyn std::error::Error>::from(error));
    assert!(printed.starts_with("the region name cannot be used; choose another: "), "{printed}");
    let error = Server::builder(unique("text")).stream(TICK, 1).stream(TICK, 1).create().unwrap_err();
    assert_eq!(format!("{error:?}"), "bad stream: stream id 1 is used twice; give every stream an id of its own");
}

/// Bytes behind the last record must not become the header of one that hides what is declared.
#[test]
fn a_ready_made_directory_swallows_no_stream() {
    let stray = [0xFF, 0xEE, 0, 0, 0x40, 0, 0];
    let error = Server::builder(unique("stray")).directory(&stray).stream(TICK, 1).create().unwrap_err();
    assert!(matches!(error, CreateError::StrayBytes), "{error:?}");
}

/// One vector was once said to be three elements, and a part of a value none.
#[test]
fn what_is_not_one_value_is_told_as_what_it_is() {
    let (mut server, name) = region("one");
    let mut client = Client::open(&name).unwrap();
    let mut frame = server.begin_frame().unwrap();
    frame.append_stream(POSITION, &[[1.0, 2.0, 3.0]]).unwrap();
    frame.append_undeclared(3, 1, &[]).unwrap();
    frame.append_undeclared(1, 1, &[1, 2, 3]).unwrap();
    frame.append_stream(POSE, &[Pose { position: [0.0; 3], orientation: [0.0; 4] }; 2]).unwrap();
    frame.publish_frame(0.0).unwrap();
    let frame = client.latest().unwrap().unwrap();
    assert_eq!(frame.value::<f32>(2), Err(ValueError::Components { id: 2, components: 3, ty: "f32" }));
    assert_eq!(frame.value::<[f32; 3]>(2), Ok([1.0, 2.0, 3.0]));
    assert_eq!(frame.value(FLAGS), Err(ValueError::NotOne { id: 3, elems: 0 }));
    assert_eq!(frame.value(TICK), Err(ValueError::Cast { id: 1, bytes: 3, ty: "u64" }));
    assert!(matches!(frame.value(POSE), Err(ValueError::NotOne { id: 4, elems: 2 })));
}

#[test]
fn debug_is_short() {
    let (mut server, name) = region("debug");
    let client = Client::options().hold(shmx::Hold::Copy).open(&name).unwrap();
    let mut frame = server.begin_frame().unwrap();
    frame.append_stream(MATRIX, &[[[1.0; 4]; 4]]).unwrap();
    frame.append_stream(POSE, &[Pose { position: [0.25; 3], orientation: [0.25; 4] }; 2]).unwrap();
    frame.publish_frame(0.0).unwrap();
    let inspector = Inspector::open(&name).unwrap();
    let slots = inspector.list_slots();
    let kept = inspector.latest().unwrap().unwrap();
    for text in [format!("{kept:?}"), format!("{:?}", slots[0])] {
        assert!(text.contains("frame_id: 1") && text.len() < 300, "{text}");
    }
    assert!(!format!("{client:?}").contains("[0, 0, 0"), "no memory for copies");
}

/// Types in public signatures that are another crate's.
#[test]
fn what_the_system_says_can_be_named() {
    use shmx::error::os;
    let name = unique("nobody");
    let absent = Client::open(&name).unwrap_err();
    assert!(matches!(absent, shmx::error::OpenError::Os(os::OpenError::NotFound { .. })), "{absent:?}");
    let listed: Result<Vec<shmx::Listed>, os::OsError> = shmx::list();
    let _: Vec<shmx::RegionEntry> = listed.unwrap_or_default().into_iter().map(|l| l.object).collect();
    let (server, _) = region("lock");
    let locks: Vec<shmx::LockState> = server.snapshot_readers().iter().map(|r| r.lock).collect();
    assert!(!locks.is_empty());
}
