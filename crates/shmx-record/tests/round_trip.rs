//! Record, replay, record again: the same bytes, for random directories and payloads.

use crate::common::{Folder, unique};
use proptest::prelude::*;
use shmx::abi::directory::StreamEntry;
use shmx::abi::tlv;
use shmx::{Checksum, ElementType, Frame, Server, ServerBuilder, ServerState, StreamSpec, Tap, Verify};
use shmx_record::{
    Compression, Cursor, Item, PlayOptions, Player, RecordWriter, Recording, RegionEvent, Segment, WriterOptions,
};
use std::path::Path;

/// One thing that happens to a region.
#[derive(Clone, Debug)]
enum Step {
    /// A frame with these streams: index of a declared stream, bytes.
    Frame { streams: Vec<(usize, Vec<u8>)>, undeclared: Option<Vec<u8>>, sim_time: u64 },
    /// The directory grows by a stream.
    Add(Declared),
    /// The directory grows by a record of a type of its own.
    Note(Vec<u8>),
    /// The server ends and another takes its place.
    Restart,
}

#[derive(Clone, Debug)]
struct Declared {
    ty: ElementType,
    components: u32,
    name: String,
    extra: Vec<u8>,
}

fn stream() -> impl Strategy<Value = Declared> {
    (
        prop::sample::select(ElementType::ALL.to_vec()),
        1..5_u32,
        "[a-z/ é]{0,8}",
        prop_oneof![
            3 => prop::collection::vec(any::<u8>(), 0..40),
            1 => Just(br#"{"width":2,"height":2,"encoding":"rgb8"}"#.to_vec()),
            1 => Just(br#"{"width":0,"height":4294967295,"step":-1}"#.to_vec()),
        ],
    )
        .prop_map(|(ty, components, name, extra)| Declared { ty, components, name, extra })
}

fn step() -> impl Strategy<Value = Step> {
    let streams = prop::collection::vec(
        (any::<prop::sample::Index>().prop_map(|i| i.index(64)), prop::collection::vec(any::<u8>(), 0..200)),
        0..4,
    );
    let frame = (streams, prop::option::of(prop::collection::vec(any::<u8>(), 0..100)), any::<u64>())
        .prop_map(|(streams, undeclared, sim_time)| Step::Frame { streams, undeclared, sim_time });
    prop_oneof![
        12 => frame,
        2 => stream().prop_map(Step::Add),
        1 => prop::collection::vec(any::<u8>(), 0..50).prop_map(Step::Note),
        1 => Just(Step::Restart),
    ]
}

/// A directory entry of any meaning, also one that contradicts itself, which a server would not declare.
fn entry(id: u32, s: &Declared) -> Vec<u8> {
    let spec = StreamSpec::new(id, s.name.clone(), s.ty, s.components);
    let entry = StreamEntry {
        stream_id: id,
        element_type_code: s.ty.to_wire(),
        components: s.components,
        layout_code: spec.layout.to_wire(),
        bytes_per_elem: spec.bytes_per_elem,
        name: s.name.as_bytes(),
        extra: &s.extra,
    };
    let mut bytes = vec![0; entry.encoded_len().unwrap() as usize];
    entry.encode(&mut bytes).unwrap();
    bytes
}

/// Records of one region, written in step with what happens to it.
struct Scribe<'w> {
    writer: &'w mut RecordWriter,
    region: shmx_record::RegionIndex,
    tap: Option<Tap>,
}

impl Scribe<'_> {
    fn open(&mut self, name: &str, end: shmx_record::EndReason) {
        self.drain();
        self.writer.end(self.region, end, 0, 0).unwrap();
        let mut tap = Tap::options().verify(Verify::Always).open(name).unwrap();
        let directory = tap.directory_changed().unwrap().unwrap().bytes.clone();
        let l = tap.layout();
        let mut segment = Segment::default();
        segment.region = "r".into();
        segment.session_id = tap.session_id();
        (segment.features, segment.features_more) = tap.features().to_wire();
        segment.slots = l.slots();
        segment.reader_slots = l.reader_slots();
        segment.static_bytes_cap = l.static_bytes_cap();
        segment.frame_bytes_cap = l.frame_bytes_cap();
        segment.control_per_reader = l.control_per_reader();
        self.writer.begin(self.region, segment, &directory).unwrap();
        self.tap = Some(tap);
    }

    fn drain(&mut self) {
        let Some(tap) = self.tap.as_mut() else { return };
        loop {
            let frame = tap.try_next().unwrap().map(Frame::keep);
            if let Some(d) = tap.directory_changed().unwrap() {
                self.writer.directory(self.region, &d.bytes).unwrap();
            }
            let Some(frame) = frame else { break };
            self.writer.frame(self.region, &frame, shmx_os::clock::ticks()).unwrap();
        }
        assert_eq!(tap.stats().missed, 0);
    }
}

fn server(options: &ServerBuilder, streams: &[Declared]) -> Server {
    let directory: Vec<u8> = streams.iter().zip(1..).flat_map(|(s, id)| entry(id, s)).collect();
    options.clone().directory(&directory).create().unwrap()
}

fn record(
    path: &Path,
    options: &WriterOptions,
    region: &dyn Fn(&str) -> ServerBuilder,
    first: &[Declared],
    steps: &[Step],
) {
    let name = unique("prop");
    let region_options = region(&name);
    let mut writer = RecordWriter::create(path, options.clone()).unwrap();
    let region = writer.add_region();
    let mut scribe = Scribe { writer: &mut writer, region, tap: None };
    let mut streams = first.to_vec();
    let mut live = server(&region_options, &streams);
    scribe.open(&name, shmx_record::EndReason::Closed);
    for step in steps {
        match step {
            Step::Frame { streams: parts, undeclared, sim_time } => {
                let mut f = live.begin_frame().unwrap();
                for (i, bytes) in parts {
                    if streams.is_empty() {
                        continue;
                    }
                    let i = i % streams.len();
                    let s = &streams[i];
                    let per = (s.ty.size() * s.components) as usize;
                    let whole = bytes.len() / per * per;
                    // A stream that is in the frame already is rejected, which is fine.
                    let _ = f.append_raw(i as u32 + 1, (whole / per) as u32, &bytes[..whole]);
                }
                if let Some(bytes) = undeclared {
                    f.append_undeclared(9999, 7, bytes).unwrap();
                }
                if f.used() > 0 {
                    f.publish_frame(f64::from_bits(*sim_time)).unwrap();
                }
            }
            Step::Add(s) => {
                if live.write_static_append(&entry(streams.len() as u32 + 1, s)).is_ok() {
                    streams.push(s.clone());
                }
            }
            Step::Note(body) => {
                let mut record = Vec::new();
                record.extend_from_slice(&0x7777_u32.to_le_bytes());
                record.extend_from_slice(&(body.len() as u32).to_le_bytes());
                record.extend_from_slice(body);
                record.resize(tlv::step(body.len() as u32) as usize, 0);
                let _ = live.write_static_append(&record);
            }
            Step::Restart => {
                scribe.drain();
                drop(live);
                live = server(&region_options, &streams);
                scribe.open(&name, shmx_record::EndReason::Closed);
            }
        }
        scribe.drain();
    }
    writer.finish().unwrap();
}

/// Plays a recording and records what comes out, one frame at a time.
fn replay(from: &Path, to: &Path, options: &WriterOptions) {
    let prefix = unique("again");
    let mut play = PlayOptions::default();
    play.prefix = format!("{prefix}-");
    let mut player = Player::new(Recording::open(&[from]).unwrap(), play).unwrap();
    let name = format!("{prefix}-r");
    let mut writer = RecordWriter::create(to, options.clone()).unwrap();
    let region = writer.add_region();
    let mut scribe = Scribe { writer: &mut writer, region, tap: None };
    scribe.open(&name, shmx_record::EndReason::Closed);
    loop {
        // A region that ends is gone with the frame before; what its successor publishes is in its ring.
        if scribe.tap.as_ref().is_some_and(|t| t.state() != ServerState::Live) {
            scribe.drain();
            if player.live_regions().next().is_some() {
                scribe.open(&name, shmx_record::EndReason::Closed);
            }
        }
        scribe.drain();
        if player.step().unwrap() == shmx_record::Played::End {
            break;
        }
    }
    if scribe.tap.as_ref().is_some_and(|t| t.state() != ServerState::Live) && player.live_regions().next().is_some() {
        scribe.open(&name, shmx_record::EndReason::Closed);
    }
    scribe.drain();
    assert_eq!(player.stats().skipped, 0);
    drop(player);
    writer.finish().unwrap();
}

/// A frame, and how long the directory was when it was recorded.
type FrameContent = (u64, u64, u32, Option<u32>, Vec<u8>);

#[derive(Debug, Default)]
struct SegmentContent {
    geometry: Vec<u32>,
    /// As it was with the last frame, and in the end.
    directory_with_frames: Vec<u8>,
    directory: Vec<u8>,
    frames: Vec<FrameContent>,
}

fn content(path: &Path) -> Vec<SegmentContent> {
    let mut cursor = Cursor::new(Recording::open(&[path]).unwrap());
    let mut all: Vec<SegmentContent> = Vec::new();
    while let Some(item) = cursor.next_item() {
        match item {
            Item::Event(RegionEvent::Begin { segment: s, directory, .. }) => {
                let geometry =
                    vec![s.slots, s.reader_slots, s.static_bytes_cap, s.frame_bytes_cap, s.control_per_reader];
                all.push(SegmentContent { geometry, directory, ..SegmentContent::default() });
            }
            Item::Event(RegionEvent::Directory { bytes, at, .. }) => {
                let last = all.last_mut().unwrap();
                assert_eq!(last.directory.len(), at as usize);
                last.directory.extend(bytes);
            }
            Item::Frame(f) => {
                let h = f.head;
                let last = all.last_mut().unwrap();
                last.directory_with_frames.clone_from(&last.directory);
                last.frames.push((h.frame_id, h.sim_time_bits, h.tlv_count, h.checksum, f.payload().to_vec()));
            }
            _ => {}
        }
    }
    assert!(cursor.recording().problems().is_empty(), "{:?}", cursor.recording().problems());
    // A segment without a frame is not replayed before something follows.
    all.retain(|s| !s.frames.is_empty());
    all
}

fn compare(first: &[SegmentContent], again: &[SegmentContent]) {
    assert_eq!(first.len(), again.len());
    for (a, b) in first.iter().zip(again) {
        assert_eq!(a.geometry, b.geometry);
        assert_eq!(a.frames, b.frames);
        // Additions behind the last frame may or may not be seen before the region ends; all before are.
        assert!(b.directory.starts_with(&a.directory_with_frames), "{a:?} {b:?}");
        assert!(a.directory.starts_with(&b.directory), "{a:?} {b:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn frames_and_directories_come_back_byte_for_byte(
        first in prop::collection::vec(stream(), 0..6),
        steps in prop::collection::vec(step(), 1..40),
        compression in prop::sample::select(vec![Compression::None, Compression::Lz4, Compression::Zstd]),
        chunk_bytes in prop::sample::select(vec![1_u64, 500, 4 << 20]),
        checksum in prop::sample::select(vec![Checksum::Auto, Checksum::Always, Checksum::Never]),
        slots in 2..6_u32,
    ) {
        let folder = Folder::new("prop");
        let mut options = WriterOptions::default();
        options.compression = compression;
        options.chunk_bytes = chunk_bytes;
        let region =
            |name: &str| Server::builder(name).slots(slots).checksum(checksum).frame_bytes(8192).directory_bytes(1024);
        let (a, b) = (folder.file("a.mcap"), folder.file("b.mcap"));
        record(&a, &options, &region, &first, &steps);
        let before = content(&a);
        if !before.is_empty() {
            replay(&a, &b, &options);
            compare(&before, &content(&b));
        }
    }
}
