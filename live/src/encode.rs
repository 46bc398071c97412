//! A frame as one binary message for the page: docs/live.md, *Frames*.

use crate::pixels;
use crate::protocol::Want;
use serde::Serialize;
use shmx::{Directory, Frame, StreamInfo};
use shmx_record::ImageInfo;
use std::collections::BTreeMap;

/// Bytes of a stream that are sent of streams that nobody asked for: what a list of live values shows.
const PREVIEW: usize = 64;
/// Most bytes of a message.
const MOST: usize = 128 << 20;

#[derive(Debug, Serialize)]
struct Head<'a> {
    op: &'static str,
    region: &'a str,
    session: String,
    frame: u64,
    sim: f64,
    /// Milliseconds since 1970.
    time: f64,
    /// Payload bytes of the whole frame.
    bytes: usize,
    streams: Vec<Part>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

#[derive(Debug, Default, Serialize)]
struct Part {
    id: u32,
    /// Elements in the frame.
    n: u32,
    /// Their bytes.
    bytes: usize,
    /// Where in the message, and how many bytes.
    at: usize,
    len: usize,
    /// Only the beginning.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    part: bool,
    /// Where the beginning lies that was asked for beside the whole, if that does not have it.
    #[serde(skip_serializing_if = "Option::is_none")]
    first: Option<(usize, usize)>,
    /// Every so many elements, pixels or rows; 1: all.
    #[serde(skip_serializing_if = "Option::is_none")]
    every: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    size: Option<(u32, u32)>,
    #[serde(skip_serializing_if = "Option::is_none")]
    problem: Option<&'static str>,
}

/// How the streams of a region are encoded; made anew when its directory changes.
#[derive(Debug, Default)]
pub(crate) struct Plan {
    streams: BTreeMap<u32, (StreamInfo, Option<ImageInfo>)>,
}

impl Plan {
    pub(crate) fn of(directory: &Directory) -> Self {
        let entry = |s: &StreamInfo| (s.id, (s.clone(), ImageInfo::of(s)));
        Self { streams: directory.streams.iter().map(entry).collect() }
    }
}

/// The message: place and length of the head, the data of streams, each at a multiple of 8 bytes, and the head in JSON.
pub(crate) fn frame(region: &str, frame: &Frame<'_>, time: u64, plan: &Plan, wants: &BTreeMap<u32, Want>) -> Vec<u8> {
    let mut data = vec![0; FRONT];
    let mut head = Head {
        op: "frame",
        region,
        session: format!("{:016x}", frame.session_id()),
        frame: frame.frame_id(),
        sim: frame.sim_time(),
        time: time as f64 / 1e6,
        bytes: frame.payload().len(),
        streams: Vec::new(),
        error: None,
    };
    for stream in frame.streams() {
        let stream = match stream {
            Ok(s) => s,
            Err(e) => {
                head.error = Some(e.to_string());
                break;
            }
        };
        data.resize(data.len().next_multiple_of(8), 0);
        let mut part = Part {
            id: stream.stream_id,
            n: stream.elem_count,
            bytes: stream.data.len(),
            at: data.len(),
            ..Part::default()
        };
        let known = plan.streams.get(&stream.stream_id);
        let want = wants.get(&stream.stream_id);
        let size = known.map_or(1, |k| k.0.bytes_per_elem.max(1) as usize);
        let first = want.map_or(0, |w| w.first as usize).saturating_mul(size);
        if let (Some(max), Some((info, image))) = (want.and_then(|w| w.max), known) {
            whole(&mut part, max, info, image.as_ref(), stream.data, &mut data);
            part.len = data.len() - part.at;
            if first > 0 && part.len < stream.data.len() {
                data.resize(data.len().next_multiple_of(8), 0);
                part.first = Some((data.len(), beginning(first, stream.data, &mut data)));
            }
        } else {
            let preview = ((PREVIEW / size).max(1) * size).min(4 * PREVIEW);
            part.len = beginning(first.max(preview), stream.data, &mut data);
            part.part = true;
        }
        head.streams.push(part);
    }
    message(&head, data)
}

fn beginning(most: usize, data: &[u8], out: &mut Vec<u8>) -> usize {
    let len = most.min(data.len()).min(MOST.saturating_sub(out.len()));
    out.extend_from_slice(&data[..len]);
    len
}

fn whole(part: &mut Part, max: u32, info: &StreamInfo, image: Option<&ImageInfo>, data: &[u8], out: &mut Vec<u8>) {
    let left = MOST.saturating_sub(out.len());
    if let Some(image) = image.filter(|i| !i.encoding.is_compressed()) {
        let to = pixels::reduced(image, max);
        let len = pixels::len(image, to);
        if len.is_none() {
            part.problem = Some("its encoding is not known here");
        } else if len.is_some_and(|n| n > left as u64) {
            part.problem = Some("too large to be shown");
        } else if pixels::copy(image, to, data, out) {
            (part.every, part.size) = (Some(to.every), Some((to.width, to.height)));
        } else {
            part.problem = Some("fewer bytes than its size needs");
        }
        return;
    }
    let size = info.bytes_per_elem.max(1) as usize;
    let count = data.len() / size;
    // A compressed image is a row of bytes that only makes sense as a whole.
    let max = if max == 0 || image.is_some() { count } else { max as usize };
    let every = count.div_ceil(max.max(1)).max(1);
    if count.div_ceil(every) * size > left {
        part.problem = Some("too large to be shown");
        return;
    }
    if every == 1 {
        out.extend_from_slice(&data[..count * size]);
    } else {
        data.chunks_exact(size).step_by(every).for_each(|e| out.extend_from_slice(e));
    }
    part.every = Some(u32::try_from(every).unwrap_or(u32::MAX));
}

/// Room for where the head lies and how long it is.
const FRONT: usize = 8;

/// Puts the head behind the data, which is large and needs no copy so.
fn message(head: &Head<'_>, mut data: Vec<u8>) -> Vec<u8> {
    let at = data.len() as u32;
    let json = serde_json::to_vec(head).unwrap_or_default();
    data[..4].copy_from_slice(&at.to_le_bytes());
    data[4..FRONT].copy_from_slice(&(json.len() as u32).to_le_bytes());
    data.extend_from_slice(&json);
    data
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;
    use shmx::meta::StreamMeta;
    use shmx::{Server, Stream, StreamSpec, Tap};

    const TICK: Stream<u64> = Stream::new(1, "tick");
    const SOME: Stream<[f32; 3]> = Stream::new(2, "some");

    fn parse(message: &[u8]) -> (Value, &[u8]) {
        let word = |at: usize| u32::from_le_bytes(message[at..at + 4].try_into().unwrap()) as usize;
        assert_eq!(word(0) + word(4), message.len());
        (serde_json::from_slice(&message[word(0)..]).unwrap(), message)
    }

    #[test]
    fn an_image_of_an_unknown_encoding_is_not_too_large() {
        let image = StreamSpec::of::<u8>(1, "odd").extra(r#"{"role":"image","shape":[2,2],"encoding":"foo9"}"#);
        let (info, mut part, mut out) = (StreamInfo::from(&image), Part::default(), Vec::new());
        whole(&mut part, 0, &info, ImageInfo::of(&info).as_ref(), &[0; 4], &mut out);
        assert_eq!((part.problem, out.len()), (Some("its encoding is not known here"), 0));
    }

    #[test]
    fn what_is_wanted_is_whole_and_the_rest_a_preview() {
        let name = format!("shmx-live-encode-{}", std::process::id());
        let image = StreamSpec::of::<[u8; 3]>(3, "image").meta(&StreamMeta::image(4, 4, "rgb8"));
        let mut server = Server::builder(&name).stream(TICK, 1).stream(SOME, 100).stream(image, 16).create().unwrap();
        let mut tap = Tap::open(&name).unwrap();
        let mut f = server.begin_frame().unwrap();
        f.append_stream(TICK, &[7]).unwrap();
        let some: Vec<[f32; 3]> = (0..100).map(|i| [i as f32; 3]).collect();
        f.append_stream(SOME, &some).unwrap();
        f.append_raw(3, 16, &[9; 48]).unwrap();
        f.publish_frame(0.5).unwrap();
        let plan = Plan::of(&tap.directory().unwrap());
        let frame = tap.try_wait().unwrap().unwrap();
        let wants = |all: &[(u32, Option<u32>, u32)]| {
            all.iter().map(|&(id, max, first)| (id, Want { id, max, first })).collect()
        };
        let ask = |w: &BTreeMap<u32, Want>| super::frame(&name, &frame, 1_500_000, &plan, w);

        let none = ask(&BTreeMap::new());
        let (head, data) = parse(&none);
        assert_eq!(
            (head["frame"].as_u64(), head["sim"].as_f64(), head["time"].as_f64()),
            (Some(1), Some(0.5), Some(1.5))
        );
        assert_eq!(head["streams"][0]["len"], 8);
        assert_eq!(head["streams"][1]["len"], 60, "five whole elements");
        assert_eq!((&head["streams"][1]["part"], &head["streams"][1]["n"]), (&Value::Bool(true), &100.into()));
        let at = head["streams"][1]["at"].as_u64().unwrap() as usize;
        assert_eq!(&data[at + 12..at + 16], 1_f32.to_le_bytes());

        let some = ask(&wants(&[(1, Some(0), 8), (2, Some(30), 0), (3, Some(2), 0)]));
        let (head, data) = parse(&some);
        let of = |i: usize, key: &str| head["streams"][i][key].as_u64().unwrap() as usize;
        assert_eq!((of(1, "every"), of(1, "len")), (4, 25 * 12));
        assert_eq!(&data[of(1, "at") + 12..][..4], 4_f32.to_le_bytes());
        assert_eq!((of(2, "every"), of(2, "len"), of(2, "at") % 8), (2, 12, 0));
        assert_eq!(head["streams"][2]["size"], serde_json::json!([2, 2]));
        assert!(head["streams"].as_array().unwrap().iter().all(|s| s["first"].is_null()));

        // The first elements of a stream, alone and beside the whole.
        let first = ask(&wants(&[(2, None, 8), (3, Some(2), 3)]));
        let (head, data) = parse(&first);
        let of = |i: usize, key: &str| head["streams"][i][key].as_u64().unwrap() as usize;
        assert_eq!((of(1, "len"), &head["streams"][1]["part"]), (8 * 12, &Value::Bool(true)));
        assert_eq!(&data[of(1, "at") + 7 * 12..][..4], 7_f32.to_le_bytes());
        let place = |i: usize| head["streams"][2]["first"][i].as_u64().unwrap() as usize;
        assert_eq!((of(2, "len"), place(1), place(0) % 8), (12, 9, 0));
        let both = ask(&wants(&[(2, Some(30), 8)]));
        let (head, data) = parse(&both);
        let place = |i: usize| head["streams"][1]["first"][i].as_u64().unwrap() as usize;
        assert_eq!((place(1), &data[place(0) + 12..][..4]), (8 * 12, &1_f32.to_le_bytes()[..]));
    }
}
