//! Frames whose records make no sense, where only some of their streams are recorded.
#![cfg(target_os = "linux")]

mod common;

use common::{Folder, V, frames, unique, until};
use shmx::{Checksum, Server, Stream};
use shmx_record::{Recorder, RecorderEvent, RecorderOptions};
use std::fs::File;
use std::os::unix::fs::FileExt;

const MORE: Stream<u8> = Stream::new(2, "more");

fn publish(server: &mut Server, n: u8) {
    let mut f = server.begin_frame().unwrap();
    f.append_value(V, n.into()).unwrap();
    f.append_stream(MORE, &[n; 64]).unwrap();
    f.publish_frame(0.0).unwrap();
}

#[test]
fn they_are_rejected_and_not_recorded_in_part() {
    let folder = Folder::new("damaged");
    let name = unique("damaged");
    let builder = Server::builder(&name).slots(8).stream(V, 1).stream(MORE, 64);
    let mut server = builder.checksum(Checksum::Never).create().unwrap();
    (1..=2).for_each(|n| publish(&mut server, n));
    // The header of the second record of the second frame, as a faulty producer might write it.
    let path = format!("/dev/shm/{name}");
    let at = std::fs::read(&path).unwrap().windows(64).rposition(|w| w == [2; 64]).unwrap();
    File::options().write(true).open(&path).unwrap().write_all_at(&[0xFF; 24], at as u64 - 24).unwrap();
    publish(&mut server, 3);
    let mut options = RecorderOptions::default();
    options.writer.streams = vec!["v".into()];
    let recorder = Recorder::start(&[&name], &folder.file("a.mcap"), options).unwrap();
    until("all are taken", || recorder.status().regions[0].taken + recorder.status().regions[0].rejected == 3);
    let status = recorder.status().regions[0].clone();
    assert_eq!((status.taken, status.rejected), (2, 1));
    let trouble = status.trouble.unwrap();
    assert!(trouble.contains("rejected") && trouble.contains("record"), "{trouble}");
    drop(server);
    let mut counts = None;
    until("its end is told", || {
        if let Some(RecorderEvent::End { counts: c, .. }) = recorder.next_event() {
            counts = Some((c.frames, c.missed, c.rejected));
        }
        counts.is_some()
    });
    assert_eq!(counts, Some((2, 0, 1)));
    assert_eq!(recorder.finish().unwrap().frames, 2);
    let ids: Vec<u64> = frames(&folder.file("a.mcap")).iter().map(|f| f.head.frame_id).collect();
    assert_eq!(ids, [1, 3]);
}
