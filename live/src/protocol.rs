//! The messages between the page and the server: docs/live.md, *Protocol*.

use crate::state::{RegionState, StreamDescription};
use serde::{Deserialize, Serialize};

/// The subprotocol, and so its version.
pub(crate) const SUBPROTOCOL: &str = "shmx.live.1";

/// From the page.
#[derive(Debug, Deserialize)]
#[serde(tag = "op", rename_all = "snake_case")]
pub(crate) enum Request {
    /// Whether anybody looks: a hidden page gets nothing.
    Look { on: bool },
    /// The streams of a region that are to come with its frames; none: no frames.
    Subscribe { region: String, streams: Option<Vec<Want>> },
    /// The last frame of a region is dealt with, the next may come; without a region, the last `regions`.
    Ack { region: Option<String> },
    /// Asks for the directory of a region.
    Directory { region: String },
    /// A control message for a region's server.
    Control { region: String, id: u32, ty: u32, parts: Vec<Part> },
}

/// How much of a stream is wanted.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
pub(crate) struct Want {
    /// Number of the stream.
    pub(crate) id: u32,
    /// The whole, thinned: images to so many pixels in a row, others to so many elements. 0: all; `null`: not wanted.
    #[serde(default = "all")]
    pub(crate) max: Option<u32>,
    /// The beginning: so many elements, one after the other.
    #[serde(default)]
    pub(crate) first: u32,
}

#[expect(clippy::unnecessary_wraps, reason = "serde's default of an option")]
const fn all() -> Option<u32> {
    Some(0)
}

/// A part of a control message's body.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Part {
    F64(f64),
    F32(f32),
    I64(i64),
    I32(i32),
    U64(u64),
    U32(u32),
    U8(u8),
    Text(String),
    Hex(String),
}

/// To the page, as text. Frames are binary: `encode.rs`.
#[derive(Debug, Serialize)]
#[serde(tag = "op", rename_all = "snake_case")]
pub(crate) enum Reply<'a> {
    Hello { version: &'a str, host: &'a str, control: bool, foxglove: Option<&'a str> },
    Regions { regions: &'a [RegionState] },
    Directory { region: &'a str, session: String, generation: u32, streams: Vec<StreamDescription> },
    Sent { id: u32, took_ms: f64 },
    Failed { id: Option<u32>, why: &'a str },
}

impl Reply<'_> {
    pub(crate) fn text(&self) -> String {
        // Maps with text for keys only: it cannot fail.
        serde_json::to_string(self).unwrap_or_default()
    }
}

/// The number of a request that cannot be read otherwise, so that who waits for its answer gets one.
pub(crate) fn id_of(request: &str) -> Option<u32> {
    #[derive(Deserialize)]
    struct Numbered {
        id: u32,
    }
    serde_json::from_str::<Numbered>(request).ok().map(|n| n.id)
}

/// Bytes of the parts, numbers in little-endian.
pub(crate) fn body(parts: &[Part]) -> Result<Vec<u8>, String> {
    let mut out = Vec::new();
    for part in parts {
        match part {
            Part::F64(v) => out.extend(v.to_le_bytes()),
            Part::F32(v) => out.extend(v.to_le_bytes()),
            Part::I64(v) => out.extend(v.to_le_bytes()),
            Part::I32(v) => out.extend(v.to_le_bytes()),
            Part::U64(v) => out.extend(v.to_le_bytes()),
            Part::U32(v) => out.extend(v.to_le_bytes()),
            Part::U8(v) => out.push(*v),
            Part::Text(t) => out.extend(t.as_bytes()),
            Part::Hex(h) => out.extend(hex(h)?),
        }
    }
    Ok(out)
}

fn hex(text: &str) -> Result<Vec<u8>, String> {
    let digits: String = text.chars().filter(|c| !c.is_whitespace()).collect();
    shmx_record::hex::decode(&digits).ok_or_else(|| format!("`{text}` is not a sequence of two-digit hex numbers"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bodies_are_little_endian_and_in_order() {
        let parts: Vec<Part> =
            serde_json::from_str(r#"[{"u8":1},{"u32":2},{"f64":0.5},{"text":"a"},{"hex":"de ad"}]"#).unwrap();
        let expected = [&[1, 2, 0, 0, 0][..], &0.5_f64.to_le_bytes(), b"a", &[0xde, 0xad]].concat();
        assert_eq!(body(&parts), Ok(expected));
        assert!(body(&[Part::Hex("abc".into())]).is_err() && body(&[Part::Hex("xy".into())]).is_err());
        assert!(serde_json::from_str::<Vec<Part>>(r#"[{"u8":256}]"#).is_err());
    }

    #[test]
    fn rubbish_is_no_request() {
        for bad in
            ["", "{}", r#"{"op":"x"}"#, r#"{"op":"look"}"#, r#"{"op":"subscribe","region":"a","streams":[{"id":-1}]}"#]
        {
            assert!(serde_json::from_str::<Request>(bad).is_err(), "{bad}");
        }
        let control = r#"{"op":"control","region":"a","id":7,"ty":12288,"parts":[{"u8":300}]}"#;
        assert!(serde_json::from_str::<Request>(control).is_err());
        assert_eq!((id_of(control), id_of("{}"), id_of("")), (Some(7), None, None));
        let good =
            r#"{"op":"subscribe","region":"a","streams":[{"id":1},{"id":2,"max":9},{"id":3,"max":null,"first":8}]}"#;
        let Ok(Request::Subscribe { streams: Some(s), .. }) = serde_json::from_str(good) else { panic!() };
        let want = |id, max, first| Want { id, max, first };
        assert_eq!(s, [want(1, Some(0), 0), want(2, Some(9), 0), want(3, None, 8)]);
    }
}
