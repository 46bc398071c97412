//! The player: order, pace, names, streams, and regions that readers block.

use crate::common::{self, Folder, V, publish, unique, until};
use shmx::{Client, Frame, Hold, Server, Stream, Tap};
use shmx_record::error::PlayError;
use shmx_record::{
    Cursor, EndReason, FrameHead, Item, Next, PlayOptions, Played, Player, RecordWriter, Recorder, RecorderOptions,
    Recording, Segment, WriterOptions,
};
use std::path::Path;
use std::time::{Duration, Instant};

const W: Stream<f64> = Stream::new(2, "w");

/// Records 12 frames of each of two regions, published in turns: all of the one, then all of the other.
fn record(path: &Path, names: [&str; 2]) {
    let mut servers = names.map(|name| {
        let builder = Server::builder(name).slots(64).frame_bytes(4096);
        builder.stream(V, 1).stream(W, 1).create().unwrap()
    });
    for n in 1..=12 {
        for server in &mut servers {
            let mut frame = server.begin_frame().unwrap();
            frame.append_value(V, n).unwrap();
            frame.append_value(W, n as f64 / 2.0).unwrap();
            frame.publish_frame(n as f64).unwrap();
        }
    }
    let mut taps = names.map(|name| Tap::open(name).unwrap());
    let mut writer = RecordWriter::create(path, WriterOptions::default()).unwrap();
    let regions = taps.each_mut().map(|tap| {
        let region = writer.add_region();
        let directory = tap.directory().unwrap().bytes.clone();
        writer.begin(region, Segment::of(tap, 1), &directory).unwrap();
        region
    });
    for (tap, region) in taps.iter_mut().zip(regions) {
        while let Some(frame) = tap.try_next().unwrap().map(Frame::keep) {
            writer.frame(region, &frame, shmx_os::clock::ticks()).unwrap();
        }
    }
    writer.finish().unwrap();
}

fn options() -> PlayOptions {
    let mut play = PlayOptions::default();
    play.prefix = format!("{}-", unique("play"));
    play
}

fn play(path: &Path, options: PlayOptions) -> Player {
    Player::new(Recording::open(&[path]).unwrap(), options).unwrap()
}

/// A recorder takes some frames of one region before it comes to the next.
#[test]
fn regions_are_merged_by_time() {
    let folder = Folder::new("merged");
    let path = folder.file("a.mcap");
    let names = [unique("a"), unique("b")];
    record(&path, [&names[0], &names[1]]);
    let mut cursor = Cursor::new(Recording::open(&[&path]).unwrap());
    let mut frames = Vec::new();
    while let Some(item) = cursor.next_item() {
        if let Item::Frame(f) = item {
            frames.push((f.time, f.region, f.head.frame_id));
        }
    }
    assert!(frames.len() == 24 && frames.is_sorted_by_key(|f| f.0), "{frames:?}");
    for region in 0..2 {
        let ids = frames.iter().filter(|f| f.1 == region).map(|f| f.2);
        assert_eq!(ids.collect::<Vec<_>>(), (1..=12).collect::<Vec<_>>(), "each in its order");
    }
}

/// What there is to play is frames: a part without one has no length, and would be repeated without a pause.
#[test]
fn a_part_without_a_frame_is_refused_and_one_of_one_moment_is_repeated_at_a_pace() {
    let folder = Folder::new("part");
    let path = folder.file("a.mcap");
    let mut writer = RecordWriter::create(&path, WriterOptions::default()).unwrap();
    let [short, long] = [(); 2].map(|()| writer.add_region());
    let (names, mut ticks) = ([unique("short"), unique("long")], shmx_os::clock::ticks());
    let mut payload = Vec::new();
    for (region, name) in [short, long].into_iter().zip(&names) {
        let mut server = Server::builder(name).stream(V, 1).create().unwrap();
        publish(&mut server, 1);
        let mut tap = Tap::open(name).unwrap();
        payload = tap.try_next().unwrap().unwrap().payload().to_vec();
        let directory = tap.directory().unwrap().bytes.clone();
        writer.begin(region, Segment::of(&tap, 1), &directory).unwrap();
    }
    for (frame_id, region) in [(1, short), (1, long), (2, long), (3, long)] {
        ticks += 1_000_000;
        let head = FrameHead { frame_id, taken_ticks: ticks, tlv_count: 1, ..FrameHead::default() };
        writer.raw_frame(region, &head, &payload).unwrap();
        if frame_id == 2 {
            writer.end(short, EndReason::Closed, 0, 0).unwrap();
        }
    }
    writer.finish().unwrap();
    let of = |name: &str, from: u64, to: u64| {
        let mut options = options();
        (options.regions, options.repeat) = (vec![name.to_owned()], true);
        (options.from, options.to) = (Duration::from_millis(from), Some(Duration::from_millis(to)));
        Player::new(Recording::open(&[&path]).unwrap(), options)
    };
    for (from, to) in [(1, 3), (2, 2), (3, 3)] {
        let refused = of(&names[0], from, to).err();
        assert!(matches!(refused, Some(PlayError::Nothing { .. })), "{from} to {to}: {refused:?}");
    }
    let mut player = of(&names[0], 0, 3).unwrap();
    player.start();
    for round in 1..=3 {
        let before = Instant::now();
        // The frame, and the end of its region.
        while player.stats().loops < round {
            assert!(matches!(player.step().unwrap(), Played::Frame | Played::Region));
        }
        assert_eq!(player.stats().published, round);
        let Next::Due(at) = player.next() else { panic!("it is repeated") };
        assert!(at >= before + Duration::from_millis(100), "not at once");
    }
    // What has a length has a pace of its own.
    let mut player = of(&names[1], 1, 2).unwrap();
    player.start();
    assert!(player.step_frame().unwrap() && player.step_frame().unwrap());
    let Next::Due(at) = player.next() else { panic!("it is repeated") };
    assert!(player.stats().loops == 1 && at <= Instant::now());
}

/// When a frame is due is when it was published, at any speed; a player that ignored time would fail here.
#[test]
fn frames_are_due_when_they_were_published() {
    let folder = Folder::new("pace");
    let path = folder.file("a.mcap");
    let name = unique("pace");
    let mut server = Server::builder(&name).slots(64).stream(V, 1).create().unwrap();
    for n in 0..20 {
        publish(&mut server, n);
        // Not evenly.
        std::thread::sleep(Duration::from_millis(1 + n % 4));
    }
    let recorder = Recorder::start(&[&name], &path, RecorderOptions::default()).unwrap();
    until("it is recorded", || recorder.status().regions[0].taken == 20);
    recorder.finish().unwrap();
    let times: Vec<u64> = common::frames(&path).iter().map(|f| f.time).collect();
    for rate in [1.0, 4.0, 0.5] {
        let mut options = options();
        options.rate = rate;
        let mut player = play(&path, options);
        let before = Instant::now();
        player.start();
        let after = Instant::now();
        for time in &times {
            let Next::Due(at) = player.next() else { panic!("a frame is due") };
            let ahead = Duration::from_secs_f64((time - times[0]) as f64 / 1e9 / rate);
            let rounding = Duration::from_micros(1);
            assert!(at + rounding >= before + ahead && at <= after + ahead + rounding, "at a rate of {rate}");
            assert_eq!(player.step().unwrap(), Played::Frame);
        }
        assert_eq!(player.next(), Next::End);
    }
    // From and to are exact, ends included.
    let at = |i: usize| Duration::from_nanos(times[i] - times[0]);
    for (from, to) in [(0, 19), (3, 7), (5, 5), (19, 19)] {
        let mut options = options();
        (options.from, options.to) = (at(from), Some(at(to)));
        let mut player = play(&path, options);
        while player.step().unwrap() != Played::End {}
        assert_eq!(player.stats().published, (to - from + 1) as u64, "frames {from} to {to}");
    }
}

/// A reader that holds every slot of one region stops that one only.
#[test]
fn a_blocked_region_does_not_hold_up_the_others() {
    let folder = Folder::new("blocked");
    let path = folder.file("a.mcap");
    let names = [unique("a"), unique("b")];
    {
        let mut servers = names.each_ref().map(|n| Server::builder(n).slots(2).stream(V, 1).create().unwrap());
        let recorder = Recorder::start(&names, &path, RecorderOptions::default()).unwrap();
        // So that both begin in the file before the first frame.
        until("both are open", || recorder.status().regions.iter().all(|r| r.open));
        for n in 1..=10 {
            for server in &mut servers {
                publish(server, n);
            }
            let taken = || recorder.status().regions.iter().map(|r| r.taken).sum::<u64>();
            until("both are recorded", || taken() == 2 * n);
        }
        recorder.finish().unwrap();
    }
    let mut options = options();
    // So that the machine may take its time.
    options.slot_wait = Duration::MAX;
    let replayed = names.each_ref().map(|n| format!("{}{n}", options.prefix));
    let mut player = play(&path, options);
    let mut reader = Client::options().hold(Hold::Lease).copy_up_to(0).open(&replayed[0]).unwrap();
    let mut other = Client::open(&replayed[1]).unwrap();
    let mut held = Vec::new();
    player.start();
    until("the other one is through", || {
        player.step().unwrap();
        if held.len() < 2 {
            held.extend(reader.next(Duration::ZERO).unwrap().map(Frame::keep));
        }
        other.latest().unwrap().is_some_and(|f| f.value(V).unwrap() == 10)
    });
    let s = player.stats();
    assert_eq!((s.published, s.skipped), (12, 0), "two of the one, all of the other");
    assert!(matches!(player.next(), Next::Due(_)), "the rest waits");
    held.clear();
    let mut last = 0;
    until("the rest comes in order", || {
        player.step().unwrap();
        while let Some(frame) = reader.try_next().unwrap() {
            let now = frame.value(V).unwrap();
            assert!(now > last);
            last = now;
        }
        player.next() == Next::End
    });
    let s = player.stats();
    assert_eq!((s.published, s.skipped, last), (20, 0, 10));
}

#[test]
fn regions_are_renamed_and_streams_chosen() {
    let folder = Folder::new("remap");
    let path = folder.file("a.mcap");
    let names = [unique("a"), unique("b")];
    record(&path, [&names[0], &names[1]]);
    let mut options = options();
    let new = unique("new");
    options.names = vec![(names[0].clone(), new.clone())];
    options.streams = vec!["w".into()];
    let prefixed = format!("{}{}", options.prefix, names[1]);
    let mut player = play(&path, options.clone());
    let live: Vec<_> = player.live_regions().map(str::to_owned).collect();
    assert_eq!(live, [new.clone(), prefixed]);
    let mut client = Client::open(&new).unwrap();
    assert_eq!(client.directory().unwrap().streams.len(), 2, "the directory is as recorded");
    until("a frame comes", || {
        player.step().unwrap();
        let Some(frame) = client.latest().unwrap() else { return false };
        assert_eq!((frame.value(W).unwrap(), frame.streams().count()), (frame.sim_time() / 2.0, 1));
        true
    });
    options.streams = vec!["2".into(), "nothing".into()];
    let refused = Player::new(Recording::open(&[&path]).unwrap(), options.clone()).unwrap_err();
    assert!(matches!(refused, PlayError::NoSuchStream { ref wanted, .. } if wanted == "nothing"), "{refused}");
    options.streams.pop();
    // Its names are free again.
    drop((client, player));
    let first = format!("{}{}", options.prefix, names[0]);
    let both = names.iter().map(|name| (name.clone(), new.clone())).collect();
    for (renamed, taken) in [(both, &new), (vec![(names[1].clone(), first.clone())], &first)] {
        let mut options = options.clone();
        options.names = renamed;
        let refused = Player::new(Recording::open(&[&path]).unwrap(), options.clone()).unwrap_err();
        assert!(matches!(refused, PlayError::SameName { ref name } if name == taken), "{refused}");
        options.regions = vec![names[1].clone()];
        if options.names.len() == 2 {
            let refused = Player::new(Recording::open(&[&path]).unwrap(), options.clone()).unwrap_err();
            assert!(matches!(refused, PlayError::NotChosen { ref region } if *region == names[0]), "{refused}");
            options.names.remove(0);
        }
        assert!(Player::new(Recording::open(&[&path]).unwrap(), options).is_ok(), "one of them alone");
    }
    options.names = vec![("nobody".into(), new)];
    let refused = Player::new(Recording::open(&[&path]).unwrap(), options).unwrap_err();
    assert!(matches!(refused, PlayError::NoSuchRegion { .. }), "{refused}");
}
