//! Pairings with the reference package in a Python interpreter.

use crate::child::{DEADLINE, Proc};
use crate::common::{SECOND, objects, unique};
use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};
use shmx::abi::control::RingGeometry;
use shmx::error::{CreateError, ReadError};
use shmx::{ChecksumState, Client, Directory, ElementType, Inspector, Server, ServerBuilder, SharedServer, StreamSpec};
use std::process::Command;
use std::time::{Duration, Instant};

type Pairing = fn(&str) -> Result<String>;

pub(crate) const PAIRINGS: &[(&str, Pairing)] = &[
    ("reference client and inspector read our server", our_server),
    ("a reference client gets the first frame after attaching", first_after_attaching),
    ("our client and inspector read a reference server", reference_server),
    ("our client under a reference server at full speed", reference_at_full_speed),
    ("reference client under our server", our_server_streaming),
    ("control messages to a reference server", control_to_reference),
    ("control messages from a reference client", control_from_reference),
    ("a reference client sees our directory grow", directory_growth),
    ("a killed reference reader is reaped by time", killed_reference_reader),
    ("a region of the reference is replaced on request only", reference_made),
];

/// A reference process that does what it is asked.
struct Reference {
    proc: Proc,
}

impl Reference {
    fn start(python: &str) -> Result<Self> {
        let mut command = Command::new(python);
        command.args(["-u", "-c", include_str!("../python/reference_peer.py")]);
        Ok(Self { proc: Proc::start(command, "reference peer".to_owned())? })
    }

    fn ask_later(&mut self, request: &Value) -> Result<()> {
        self.proc.tell(&request.to_string())
    }

    fn answer(&mut self) -> Result<Value> {
        let mut answer: Value = serde_json::from_str(&self.proc.line()?)?;
        if let Some(e) = answer.get("error") {
            bail!("the reference: {e}");
        }
        Ok(answer["ok"].take())
    }

    fn ask(&mut self, request: &Value) -> Result<Value> {
        self.ask_later(request)?;
        self.answer().with_context(|| format!("asked for {}", request["op"]))
    }

    fn must(&mut self, request: &Value) -> Result<()> {
        let answer = self.ask(request)?;
        ensure!(answer == true, "{} was answered with {answer}", request["op"]);
        Ok(())
    }
}

/// The reference never removes a region.
struct Removed<'a>(&'a str);

impl Drop for Removed<'_> {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(format!("/dev/shm/{}", self.0));
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

/// One stream of each element type; every third a vector, every second with application data.
fn all_types() -> Vec<StreamSpec> {
    (1..=13)
        .filter_map(ElementType::from_wire)
        .map(|t| {
            let id = t.to_wire();
            let components = if id % 3 == 0 { 3 } else { 1 };
            let extra = if id % 2 == 0 { vec![id as u8, 0, 255] } else { Vec::new() };
            StreamSpec::new(id, format!("strömung {id}"), t, components).extra(extra)
        })
        .collect()
}

/// Most elements of a stream in a frame.
const MOST: u32 = 7;

fn declaring(builder: ServerBuilder, streams: &[StreamSpec]) -> ServerBuilder {
    streams.iter().fold(builder, |b, s| b.stream(s.clone(), MOST))
}

fn element_count(s: &StreamSpec, number: u64) -> u32 {
    1 + (number as u32 + s.id) % MOST
}

/// Bytes that are values of the stream's type.
fn data_of(s: &StreamSpec, number: u64) -> Vec<u8> {
    let len = s.bytes_per_elem * element_count(s, number);
    let value = |i: u32| (u64::from(i) * 37 + number * 11 + u64::from(s.id)) as u8;
    (0..len).map(|i| if s.element_type == ElementType::Bool { value(i) & 1 } else { value(i) }).collect()
}

fn spec(s: &StreamSpec) -> Value {
    json!({
        "id": s.id, "name": s.name, "dtype_code": s.element_type.to_wire(), "components": s.components,
        "layout_code": s.layout.to_wire(), "bytes_per_elem": s.bytes_per_elem, "extra": hex(&s.extra),
    })
}

fn same_streams(found: &Value, streams: &[StreamSpec]) -> Result<()> {
    let found = found.as_array().context("no list of streams")?;
    ensure!(found.len() == streams.len(), "{} streams, not {}", found.len(), streams.len());
    for (f, s) in found.iter().zip(streams) {
        let expected = spec(s);
        for key in ["id", "name", "dtype_code", "components", "bytes_per_elem"] {
            ensure!(f[key] == expected[key], "{key} of stream {}: {}", s.id, f[key]);
        }
        ensure!(f["layout"] == if s.components > 1 { "vector" } else { "scalar" }, "layout of stream {}", s.id);
        ensure!(f["extra"].as_str().unwrap_or("") == hex(&s.extra), "extra of stream {}", s.id);
    }
    Ok(())
}

fn publish(server: &SharedServer, streams: &[StreamSpec], number: u64) -> Result<u64> {
    let mut frame = server.begin_frame()?;
    for s in streams {
        frame.append_raw(s.id, element_count(s, number), &data_of(s, number))?;
    }
    Ok(frame.publish_frame(number as f64)?)
}

fn same_frame(found: &Value, streams: &[StreamSpec], number: u64) -> Result<()> {
    ensure!(found["meta"]["sim_time"] == number as f64, "frame {number} expected: {}", found["meta"]);
    ensure!(found["meta"]["tlv_count"] == streams.len(), "{}", found["meta"]);
    for s in streams {
        let expected = json!([hex(&data_of(s, number)), element_count(s, number)]);
        ensure!(found["streams"][&s.name] == expected, "data of stream {}: {}", s.id, found["streams"][&s.name]);
    }
    Ok(())
}

fn our_server(python: &str) -> Result<String> {
    let name = unique();
    let streams = all_types();
    let server = declaring(Server::builder(&name), &streams).create().map(Server::into_shared)?;
    let mut reference = Reference::start(python)?;
    reference.must(&json!({"op": "open", "name": name}))?;
    same_streams(&reference.ask(&json!({"op": "streams"}))?, &streams)?;
    ensure!(reference.ask(&json!({"op": "latest"}))?.is_null(), "a frame before the first");
    for number in 0..50 {
        let id = publish(&server, &streams, number)?;
        let found = reference.ask(&json!({"op": "latest"}))?;
        same_frame(&found, &streams, number)?;
        ensure!(found["meta"]["frame_id"] == id, "{}", found["meta"]);
    }
    ensure!(server.readers_connected() == 1, "not attached");
    let info = reference.ask(&json!({"op": "inspect", "name": name}))?;
    ensure!(info["session_id"] == server.session_id() && info["frame_seq"] == 50, "{info}");
    ensure!(info["static_gen"] == 1 && info["readers_connected"] == 1, "{info}");
    same_streams(&info["streams"], &streams)?;
    reference.ask(&json!({"op": "close"}))?;
    ensure!(server.readers_connected() == 0, "still attached");
    Ok("13 element types, 50 frames, every byte equal".to_owned())
}

/// Large frames carry a checksum only where somebody needs it; a reader of the reference does, from the first frame
/// that is published once it is attached, and each time again.
fn first_after_attaching(python: &str) -> Result<String> {
    const LEN: u32 = 20_000;
    let name = unique();
    let server = Server::builder(&name).stream(StreamSpec::of::<u8>(1, "bytes"), LEN).create()?.into_shared();
    let publish = |number: u64| -> Result<Vec<u8>> {
        let data: Vec<u8> = (0..LEN).map(|i| (u64::from(i) * 31 + number) as u8).collect();
        let mut frame = server.begin_frame()?;
        frame.append_stream(1, &data)?;
        frame.publish_frame(number as f64)?;
        Ok(data)
    };
    let inspector = Inspector::open(&name)?;
    let bare = || -> Result<bool> {
        Ok(inspector.latest()?.context("nothing to inspect")?.checksum() == ChecksumState::Absent)
    };
    let mut reference = Reference::start(python)?;
    let (rounds, mut number) = (20, 0);
    for round in 0..rounds {
        // In every other round somebody follows, and frames are handed out while they are written.
        let mut follower = if round % 2 == 1 { Some(Client::open(&name)?) } else { None };
        if let Some(follower) = &mut follower {
            let _ = follower.follow(Duration::ZERO)?;
        }
        // At the second one at the latest, unless a frame is due for one anyway.
        let end = Instant::now() + DEADLINE;
        loop {
            publish(number)?;
            number += 1;
            if bare()? {
                break;
            }
            ensure!(Instant::now() < end, "round {round}: large frames are hashed though nobody needs it");
        }
        reference.must(&json!({"op": "open", "name": name}))?;
        for _ in 0..3 {
            let data = publish(number)?;
            let found = reference.ask(&json!({"op": "latest"}))?;
            ensure!(found["meta"]["sim_time"] == number as f64, "round {round}, frame {number}: {}", found["meta"]);
            ensure!(found["streams"]["bytes"] == json!([hex(&data), LEN]), "round {round}, frame {number}: its data");
            number += 1;
        }
        reference.ask(&json!({"op": "close"}))?;
    }
    Ok(format!("{rounds} attaches, the first three frames after each read, half of them beside a follower"))
}

fn same_directory(found: &Directory, streams: &[StreamSpec]) -> Result<()> {
    ensure!(found.streams.len() == streams.len(), "{} streams", found.streams.len());
    for (f, s) in found.streams.iter().zip(streams) {
        ensure!(f.id == s.id && f.name == s.name.as_bytes() && f.extra == s.extra, "{f:?}");
        ensure!(f.element_type() == Some(s.element_type) && f.components == s.components, "{f:?}");
        ensure!(f.layout() == Some(s.layout) && f.bytes_per_elem == s.bytes_per_elem, "{f:?}");
    }
    Ok(())
}

fn create(reference: &mut Reference, name: &str, config: &Value, streams: &[StreamSpec]) -> Result<()> {
    let streams: Vec<Value> = streams.iter().map(spec).collect();
    reference.must(&json!({"op": "server", "name": name, "config": config, "streams": streams}))
}

fn reference_server(python: &str) -> Result<String> {
    let name = unique();
    let _removed = Removed(&name);
    let streams = all_types();
    let mut reference = Reference::start(python)?;
    create(&mut reference, &name, &json!({}), &streams)?;
    let mut client = Client::open(&name)?;
    ensure!(!client.features().is_extended() && client.reader_index() == Some(0), "{:?}", client.features());
    let directory = client.directory()?;
    same_directory(&directory, &streams)?;
    let inspector = Inspector::open(&name)?;
    let directory = inspector.directory()?;
    same_directory(&directory, &streams)?;
    ensure!(client.latest()?.is_none() && inspector.latest()?.is_none(), "a frame before the first");
    let frames = 50;
    for number in 0..frames {
        let data: Vec<Value> =
            streams.iter().map(|s| json!([s.id, hex(&data_of(s, number)), element_count(s, number)])).collect();
        reference.ask_later(&json!({"op": "publish", "streams": data, "sim_time": number as f64}))?;
        let waited = client.wait(10 * SECOND)?.context("no frame by waiting")?.keep();
        ensure!(reference.answer()? == true, "not published");
        let latest = client.latest()?.context("no latest frame")?.keep();
        let inspected = inspector.latest()?.context("nothing to inspect")?;
        for view in [waited, latest, inspected] {
            ensure!(view.sim_time() == number as f64 && view.frame_id() == number + 1, "{view:?}");
            ensure!(!view.is_leased() && view.checksum() == ChecksumState::Verified, "{view:?}");
            let found = view.decode()?;
            ensure!(found.len() == streams.len(), "{} streams", found.len());
            for (f, s) in found.iter().zip(&streams) {
                ensure!(f.stream_id == s.id && f.elem_count == element_count(s, number), "{f:?}");
                ensure!(f.data == data_of(s, number), "data of stream {}", s.id);
            }
        }
    }
    let readers = reference.ask(&json!({"op": "readers"}))?;
    ensure!(readers[0]["in_use"] == true && readers[0]["last_frame_seen"] == frames, "{}", readers[0]);
    let stats = client.stats();
    ensure!(stats.delivered == frames && stats.missed == 0 && stats.rejected == 0, "{stats:?}");
    drop(client);
    let readers = reference.ask(&json!({"op": "readers"}))?;
    ensure!(readers[0]["in_use"] == false, "{}", readers[0]);
    Ok(format!("13 element types, {frames} frames by wait, latest and inspector, every byte equal"))
}

fn reference_at_full_speed(python: &str) -> Result<String> {
    let mut notes = Vec::new();
    for slots in [2, 8] {
        let name = unique();
        let _removed = Removed(&name);
        let mut reference = Reference::start(python)?;
        create(&mut reference, &name, &json!({"slots": slots}), &[StreamSpec::of::<u64>(1, "n")])?;
        let mut client = Client::open(&name)?;
        reference.ask_later(&json!({"op": "produce", "seconds": 2}))?;
        let (mut delivered, mut lapped, mut refused) = (0_u64, 0_u64, 0_u64);
        let end = Instant::now() + Duration::from_secs(2);
        while Instant::now() < end {
            match client.wait(SECOND / 10) {
                Ok(Some(view)) => {
                    let n = view.sim_time() as u64;
                    let expected = vec![n; 1 + (n % 500) as usize];
                    ensure!(view.get::<u64>(1)? == expected, "frame {n} is torn");
                    ensure!(view.frame_id() == n + 1, "frame {n} has id {}", view.frame_id());
                    delivered += 1;
                }
                Ok(None) => {}
                Err(ReadError::Lapped { .. }) => lapped += 1,
                // What the checksum stops was not handed out.
                Err(ReadError::Checksum { .. } | ReadError::ForeignSession { .. }) => refused += 1,
                Err(e) => return Err(e.into()),
            }
        }
        let answer = reference.answer()?;
        ensure!(delivered > 0 && answer["failed"] == 0, "{delivered} delivered, {answer}");
        notes.push(format!(
            "{slots} slots: {delivered} of {} delivered, torn 0, {lapped} lapped, {refused} refused",
            answer["published"]
        ));
    }
    Ok(notes.join("; "))
}

fn our_server_streaming(python: &str) -> Result<String> {
    let name = unique();
    let streams = all_types();
    let server = declaring(Server::builder(&name).slots(8), &streams).create().map(Server::into_shared)?;
    let mut reference = Reference::start(python)?;
    reference.must(&json!({"op": "open", "name": name}))?;
    // One of our readers holds a frame meanwhile, so that the producer has to step around its slot.
    let mut client = Client::open(&name)?;
    publish(&server, &streams, 0)?;
    let held = client.latest()?.context("no frame")?;
    let mut seen = 0;
    for number in 1..2000 {
        publish(&server, &streams, number)?;
        if number % 7 == 0 {
            same_frame(&reference.ask(&json!({"op": "latest"}))?, &streams, number)?;
            seen += 1;
        }
    }
    ensure!(held.is_leased() && held.sim_time() == 0.0, "{held:?}");
    Ok(format!("2000 frames around a leased slot, {seen} looked at, every byte equal"))
}

/// Message `number` of the control tests, as in `reference_peer.py`.
fn body(number: u32, longest: u32) -> Vec<u8> {
    (0..number.wrapping_mul(7) % (longest + 1)).map(|i| (number + i) as u8).collect()
}

const CAPACITIES: [u32; 4] = [4096, 273, 117, 1001];
const MESSAGES: u32 = 3000;

fn longest(capacity: u32) -> Result<u32> {
    RingGeometry::new(capacity).and_then(|g| g.longest_message()).context("geometry")
}

fn control_to_reference(python: &str) -> Result<String> {
    let mut full = 0_u64;
    for capacity in CAPACITIES {
        let name = unique();
        let _removed = Removed(&name);
        let longest = longest(capacity)?;
        let mut reference = Reference::start(python)?;
        create(&mut reference, &name, &json!({"control_per_reader": capacity}), &[])?;
        let client = Client::open(&name)?;
        let id = Inspector::open(&name)?.snapshot_readers()[0].reader_id;
        reference.ask_later(&json!({"op": "poll_many", "count": MESSAGES, "longest": longest}))?;
        for number in 0..MESSAGES {
            let end = Instant::now() + DEADLINE;
            while let Err(e) = client.control_send(0x3000 + number, &body(number, longest)) {
                ensure!(e == shmx::error::SendError::Full && Instant::now() < end, "message {number}: {e}");
                full += 1;
                std::thread::yield_now();
            }
        }
        let answer = reference.answer()?;
        ensure!(answer == json!({"got": MESSAGES, "wrong": [], "ids": [id]}), "{capacity} bytes: {answer}");
    }
    Ok(format!("{MESSAGES} messages each through rings of {CAPACITIES:?} bytes, full {full} times"))
}

fn control_from_reference(python: &str) -> Result<String> {
    let mut full = 0;
    for capacity in CAPACITIES {
        let name = unique();
        let longest = longest(capacity)?;
        let server = Server::builder(&name).control_bytes(capacity).create().map(Server::into_shared)?;
        let mut reference = Reference::start(python)?;
        reference.must(&json!({"op": "open", "name": name}))?;
        let id = server.snapshot_readers()[0].reader_id;
        reference.ask_later(&json!({"op": "send_many", "count": MESSAGES, "longest": longest}))?;
        let mut end = Instant::now() + DEADLINE;
        let mut next = 0;
        while next < MESSAGES {
            ensure!(Instant::now() < end, "{capacity} bytes: message {next} is missing");
            let batch = server.poll_control(64);
            ensure!(batch.damaged.is_empty(), "{:?}", batch.damaged);
            for m in batch.messages {
                ensure!(m.ty == 0x3000 + next && m.reader_id == id, "{capacity} bytes: {next} expected, {m:?}");
                ensure!(m.data == body(next, longest), "{capacity} bytes: body of message {next}");
                next += 1;
                end = Instant::now() + DEADLINE;
            }
            std::thread::yield_now();
        }
        full += reference.answer()?["full"].as_u64().unwrap_or(0);
    }
    Ok(format!("{MESSAGES} messages each through rings of {CAPACITIES:?} bytes, full {full} times"))
}

fn directory_growth(python: &str) -> Result<String> {
    let name = unique();
    let mut streams = all_types();
    let later = streams.split_off(3);
    // Room for what is added later.
    let server = declaring(Server::builder(&name).frame_bytes(65536), &streams).create().map(Server::into_shared)?;
    let mut reference = Reference::start(python)?;
    reference.must(&json!({"op": "open", "name": name}))?;
    same_streams(&reference.ask(&json!({"op": "streams"}))?, &streams)?;
    let added = later.len();
    for (number, s) in later.into_iter().enumerate() {
        server.add_stream(s.clone())?;
        streams.push(s);
        reference.must(&json!({"op": "refresh"}))?;
        same_streams(&reference.ask(&json!({"op": "streams"}))?, &streams)?;
        publish(&server, &streams, number as u64)?;
        same_frame(&reference.ask(&json!({"op": "latest"}))?, &streams, number as u64)?;
    }
    Ok(format!("{added} streams added one by one"))
}

fn killed_reference_reader(python: &str) -> Result<String> {
    let name = unique();
    let streams = all_types();
    let server = declaring(Server::builder(&name), &streams).create().map(Server::into_shared)?;
    let mut reference = Reference::start(python)?;
    reference.must(&json!({"op": "open", "name": name}))?;
    publish(&server, &streams, 0)?;
    same_frame(&reference.ask(&json!({"op": "latest"}))?, &streams, 0)?;
    let info = server.snapshot_readers()[0];
    ensure!(info.in_use && info.extension.is_none() && info.last_frame_seen == 1, "{info:?}");
    let timeout = Duration::from_millis(200);
    ensure!(server.reap_stale_readers(3600 * SECOND).is_empty(), "reaped too soon");
    reference.proc.kill()?;
    ensure!(server.reap_dead_readers().is_empty(), "a reader without a lock is known by time only");
    let end = Instant::now() + 10 * SECOND;
    let killed = Instant::now();
    loop {
        let reaped = server.reap_stale_readers(timeout);
        if !reaped.is_empty() {
            ensure!(reaped == [0], "{reaped:?}");
            break;
        }
        ensure!(Instant::now() < end, "never reaped");
        std::thread::sleep(Duration::from_millis(5));
    }
    ensure!(server.readers_connected() == 0 && !server.snapshot_readers()[0].in_use, "still there");
    Ok(format!("timeout 200 ms, reaped {} ms after the kill", killed.elapsed().as_millis()))
}

fn reference_made(python: &str) -> Result<String> {
    let name = unique();
    let _removed = Removed(&name);
    let mut reference = Reference::start(python)?;
    create(&mut reference, &name, &json!({}), &[StreamSpec::of::<u64>(1, "n")])?;
    let refused = Server::builder(&name).create().map(Server::into_shared);
    ensure!(matches!(refused, Err(CreateError::ReferenceMade { .. })), "{refused:?}");
    reference.must(&json!({"op": "publish", "streams": [[1, hex(&7_u64.to_le_bytes()), 1]], "sim_time": 0.5}))?;
    let mut client = Client::open(&name)?;
    ensure!(client.latest()?.context("no frame")?.get::<u64>(1)? == [7], "the refused region changed");
    let server = declaring(Server::builder(&name).replace(true), &all_types()).create().map(Server::into_shared)?;
    ensure!(client.is_replaced(), "the reader cannot tell that its region was replaced");
    client.reopen()?;
    ensure!(client.session_id() == server.session_id(), "another region was opened");
    drop((client, server));
    ensure!(objects(&name).is_empty(), "the object is still there");
    Ok("refused without, replaced with `replace`".to_owned())
}
