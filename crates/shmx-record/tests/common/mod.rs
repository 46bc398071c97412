//! What the tests share.
#![allow(dead_code, unreachable_pub, unused_imports, reason = "each test file uses a part")]

use mcap::records::{MessageHeader, Metadata, Record};
use shmx::{Server, Stream, Tap};
use shmx_record::{Cursor, Item, RecordedFrame, Recording};
pub use shmx_testkit::{Folder, unique, until};
use std::collections::{BTreeMap, HashMap};
use std::path::Path;

/// The stream of most tests.
pub const V: Stream<u64> = Stream::new(1, "v");

pub fn publish(server: &mut Server, n: u64) {
    let mut f = server.begin_frame().unwrap();
    f.append_value(V, n).unwrap();
    f.publish_frame(n as f64 / 8.0).unwrap();
}

pub fn frames(path: &Path) -> Vec<RecordedFrame> {
    let mut cursor = Cursor::new(Recording::open(&[path]).unwrap());
    let mut all = Vec::new();
    while let Some(item) = cursor.next_item() {
        if let Item::Frame(f) = item {
            all.push(f);
        }
    }
    assert!(cursor.recording().problems().is_empty(), "{:?}", cursor.recording().problems());
    all
}

pub fn drain(tap: &mut Tap, mut each: impl FnMut(&shmx::Frame<'_>)) {
    while let Some(frame) = tap.try_next().unwrap() {
        each(&frame);
    }
}

/// Length-delimited fields of a protobuf message, by number.
fn fields(mut bytes: &[u8]) -> Vec<(u8, &[u8])> {
    let mut found = Vec::new();
    while let Some((&tag, rest)) = bytes.split_first() {
        assert_eq!(tag & 7, 2, "all are length-delimited");
        let (mut len, mut shift, mut at) = (0_usize, 0, 0);
        loop {
            len |= usize::from(rest[at] & 0x7F) << shift;
            at += 1;
            if rest[at - 1] < 0x80 {
                break;
            }
            shift += 7;
        }
        found.push((tag >> 3, &rest[at..at + len]));
        bytes = &rest[at + len..];
    }
    found
}

/// The keys and values of a lifecycle message.
pub fn facts(message: &[u8]) -> BTreeMap<String, String> {
    let text = |b: &[u8]| String::from_utf8(b.to_vec()).unwrap();
    let pair = |(_, fact): (u8, &[u8])| {
        let all = fields(fact);
        let of = |n: u8| text(all.iter().find(|f| f.0 == n).map_or(&[], |f| f.1));
        (of(1), of(2))
    };
    fields(message).into_iter().map(pair).collect()
}

/// Writes a recording as an older version has it: events as metadata records, log times that are publish times; in
/// version 1 also one feature word, a checksum in every frame, `refused`.
pub fn as_version(version: u32, from: &Path, to: &Path) {
    let bytes = std::fs::read(from).unwrap();
    let mut writer = mcap::WriteOptions::new().profile("shmx").create(std::fs::File::create(to).unwrap()).unwrap();
    let (mut schemas, mut channels) = (HashMap::new(), HashMap::new());
    for record in mcap::read::ChunkFlattener::new(&bytes).unwrap() {
        match record.unwrap() {
            Record::Schema { header, data } => {
                schemas.insert(header.id, writer.add_schema(&header.name, &header.encoding, &data).unwrap());
            }
            Record::Channel(c) => {
                let schema = schemas[&c.schema_id];
                let id = writer.add_channel(schema, &c.topic, &c.message_encoding, &c.metadata).unwrap();
                channels.insert(c.id, (id, c));
            }
            Record::Message { header, data } => {
                let (id, channel) = &channels[&header.channel_id];
                if channel.topic.ends_with("/shmx.lifecycle") {
                    let mut metadata = facts(&data);
                    let topic = format!("/{}", metadata["region"]);
                    let frames = channels.values().find(|(_, c)| c.topic == topic).unwrap().0;
                    metadata.insert("channel".into(), frames.to_string());
                    if version == 1 {
                        metadata.remove("features_more");
                        if let Some(rejected) = metadata.remove("rejected") {
                            metadata.insert("refused".into(), rejected);
                        }
                    }
                    writer.write_metadata(&Metadata { name: "shmx.region".into(), metadata }).unwrap();
                    continue;
                }
                let mut data = data.into_owned();
                if version == 1 {
                    // Field 6, fixed32.
                    data.extend_from_slice(&[6 << 3 | 5, 0, 0, 0, 0]);
                }
                let log_time = header.publish_time;
                writer.write_to_known_channel(&MessageHeader { channel_id: *id, log_time, ..header }, &data).unwrap();
            }
            Record::Metadata(Metadata { name, mut metadata }) => {
                if let Some(found) = metadata.get_mut("version") {
                    *found = version.to_string();
                }
                writer.write_metadata(&Metadata { name, metadata }).unwrap();
            }
            _ => {}
        }
    }
    writer.finish().unwrap();
}
