//! Messages for viewers: what they hold, and that images are written once.

use crate::common::{Folder, frames, unique, until};
use mcap::records::Record;
use shmx::{ElementType, Server, StreamSpec};
use shmx_record::{Recorder, RecorderOptions, Recording};
use std::collections::BTreeMap;
use std::path::Path;

const WIDE: usize = 64;
const PIXELS: usize = WIDE * 48 * 3;

fn image(id: u32, name: &str) -> StreamSpec {
    StreamSpec::new(id, name, ElementType::U8, 3).extra(r#"{"role":"image","shape":[48,64],"encoding":"rgb8"}"#)
}

/// Messages of each topic: how many, and their bytes.
fn topics(path: &Path) -> BTreeMap<String, (String, usize, usize)> {
    let bytes = std::fs::read(path).unwrap();
    let (mut names, mut channels, mut found) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
    for record in mcap::read::ChunkFlattener::new(&bytes).unwrap() {
        match record.unwrap() {
            Record::Schema { header, .. } => drop(names.insert(header.id, header.name)),
            Record::Channel(c) => drop(channels.insert(c.id, (c.topic, names[&c.schema_id].clone()))),
            Record::Message { header, data } => {
                let (topic, schema) = channels[&header.channel_id].clone();
                let entry = found.entry(topic).or_insert((schema, 0, 0));
                (entry.1, entry.2) = (entry.1 + 1, entry.2 + data.len());
            }
            _ => {}
        }
    }
    found
}

#[test]
fn an_image_is_written_once_and_small_streams_stand_in_one_message() {
    let folder = Folder::new("once");
    let path = folder.file("a.mcap");
    let name = unique("once");
    let number = |id, name: &str, ty, n| StreamSpec::new(id, name, ty, n);
    let mut server = Server::builder(&name)
        .slots(64)
        .frame_bytes(1 << 20)
        .stream(number(1, "gain", ElementType::F32, 1), 1)
        .stream(image(2, "left"), 64 * 48)
        .stream(number(3, "place", ElementType::F64, 3), 2)
        .stream(number(4, "wave", ElementType::F32, 1), 2000)
        .stream(number(5, "values", ElementType::U8, 1), 2000)
        .create()
        .unwrap();
    let recorder = Recorder::start(&[&name], &path, RecorderOptions::default()).unwrap();
    for n in 0..20_u8 {
        let mut f = server.begin_frame().unwrap();
        f.append_raw(1, 1, &f32::from(n).to_ne_bytes()).unwrap();
        // Frame 10 has no image.
        if n != 10 {
            let pixels: Vec<u8> = (0..PIXELS).map(|i| (i as u8).wrapping_mul(31) ^ n).collect();
            f.append_raw(2, 64 * 48, &pixels).unwrap();
        }
        f.append_raw(3, 2, &[n; 48]).unwrap();
        f.append_raw(4, 2000, &[n; 8000]).unwrap();
        f.append_raw(5, 2000, &[n; 2000]).unwrap();
        f.publish_frame(f64::from(n)).unwrap();
    }
    server.add_stream(number(6, "late", ElementType::U64, 1)).unwrap();
    until("all is recorded", || recorder.status().written.frames == 20);
    let mut f = server.begin_frame().unwrap();
    f.append_raw(6, 1, &7_u64.to_ne_bytes()).unwrap();
    f.publish_frame(0.0).unwrap();
    until("the last is recorded", || recorder.status().written.frames == 21);
    drop(recorder);
    let found = topics(&path);
    let of = |last: &str| found.get(&format!("/{name}{last}")).map(|(s, n, _)| (s.as_str(), *n));
    assert_eq!(of("/left"), Some(("foxglove.RawImage", 19)));
    assert_eq!(of(""), Some(("shmx.Frame", 2)), "frames without an image, or a cloud");
    assert_eq!(of("/place/points"), Some(("foxglove.PointCloud", 20)));
    assert_eq!(of("/wave"), Some(("shmx.FloatValues", 20)));
    assert_eq!(of("/#5"), Some(("shmx.Uint32Values", 20)), "its name is taken");
    let (schema, n) = of("/values").unwrap();
    assert_eq!((schema.starts_with(&format!("shmx.Values_{}_", name.replace('-', "_"))), n), (true, 21), "{schema}");
    // What is in the image's message is all that there is of the image.
    let images = found[&format!("/{name}/left")].2;
    assert!(images < 19 * (PIXELS + 12_000), "{images}");
    let read = frames(&path);
    assert_eq!(read.len(), 21);
    for (n, f) in (0..20_u8).zip(&read) {
        assert_eq!((f.head.frame_id, f.head.sim_time()), (u64::from(n) + 1, f64::from(n)));
        let streams: Vec<_> = shmx::abi::frame::Streams::new(f.payload()).map(Result::unwrap).collect();
        assert_eq!(streams.len() as u32, f.head.tlv_count);
        if let Some(s) = streams.iter().find(|s| s.stream_id == 2) {
            assert!(s.data.iter().enumerate().all(|(i, &b)| b == (i as u8).wrapping_mul(31) ^ n), "frame {n}");
        }
        assert_eq!(streams.iter().any(|s| s.stream_id == 2), n != 10);
    }
    assert!(Recording::open(&[&path]).unwrap().problems().is_empty());
}
