//! Messages that viewers decode by themselves: numbers, images and point clouds, made from the streams of a frame.

use crate::pb::Writer;
use crate::schema::{self, Schema};
use prost_types::field_descriptor_proto::Type;
use shmx::abi::frame::StreamData;
use shmx::{ElementType, StreamInfo, bf16, f16};

/// Field numbers of `shmx.FloatValues` and its like.
pub(crate) mod value {
    pub(crate) const FRAME_ID: u32 = 1;
    pub(crate) const SIM_TIME: u32 = 2;
    pub(crate) const COMPONENTS: u32 = 3;
    pub(crate) const VALUES: u32 = 4;
}

/// An image as the stream's `extra` describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImageInfo {
    /// Pixels per row.
    pub width: u32,
    /// Rows.
    pub height: u32,
    /// `rgb8`, `mono16` and the like, or `jpeg`, `png`, `webp` for compressed ones.
    pub encoding: String,
    /// Bytes per row.
    pub step: u32,
}

impl ImageInfo {
    /// Reads the description of an image out of a stream's `extra`: a JSON object with `width`, `height` and, unless
    /// the element type says it, `encoding`; optionally `step`. `None` if the stream is no image.
    #[must_use]
    pub fn of(stream: &StreamInfo) -> Option<Self> {
        let extra: serde_json::Value = serde_json::from_slice(&stream.extra).ok()?;
        let number = |key: &str| extra.get(key).and_then(|v| v.as_u64()).and_then(|v| u32::try_from(v).ok());
        let encoding = extra.get("encoding").and_then(|v| v.as_str());
        if let Some(e) = encoding.filter(|e| is_compressed(e)) {
            let (width, height) = (number("width").unwrap_or(0), number("height").unwrap_or(0));
            return Some(Self { width, height, encoding: e.to_owned(), step: 0 });
        }
        let (width, height) = (number("width").filter(|&n| n > 0)?, number("height").filter(|&n| n > 0)?);
        let implied = match (stream.element_type()?, stream.components) {
            (ElementType::U8, 1) => Some("mono8"),
            (ElementType::U8, 3) => Some("rgb8"),
            (ElementType::U8, 4) => Some("rgba8"),
            (ElementType::U16, 1) => Some("mono16"),
            (ElementType::F32, 1) => Some("32FC1"),
            _ => None,
        };
        let encoding = encoding.or(implied)?.to_owned();
        let pixel = match encoding.as_str() {
            "rgb8" | "bgr8" | "8UC3" => 3,
            "rgba8" | "bgra8" | "32FC1" => 4,
            "mono16" | "16UC1" | "yuv422" | "uyvy" | "yuyv" | "yuv422_yuy2" => 2,
            _ => 1,
        };
        let step = number("step").or_else(|| width.checked_mul(pixel))?;
        Some(Self { width, height, encoding, step })
    }

    fn is_compressed(&self) -> bool {
        is_compressed(&self.encoding)
    }
}

fn is_compressed(encoding: &str) -> bool {
    matches!(encoding, "jpeg" | "png" | "webp" | "avif")
}

/// What a stream is shown as.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum View {
    /// Numbers: how each is written.
    Values {
        ty: ElementType,
        components: u32,
    },
    Image(ImageInfo),
    /// Points in space, `f64` if true.
    Points(bool),
}

/// A channel of a stream: what it shows, where, and under which schema.
#[derive(Clone, Debug)]
pub(crate) struct ViewChannel {
    pub(crate) stream: u32,
    pub(crate) view: View,
    pub(crate) topic: String,
    pub(crate) schema: Schema,
}

/// The messages that a stream gets, by convention; none for streams that are neither numeric nor an image.
pub(crate) fn views_of(region: &str, name: &str, stream: &StreamInfo) -> Vec<ViewChannel> {
    let Some(ty) = stream.element_type() else { return Vec::new() };
    if u64::from(stream.bytes_per_elem) != u64::from(ty.size()) * u64::from(stream.components) {
        return Vec::new();
    }
    let asked: Option<String> = serde_json::from_slice::<serde_json::Value>(&stream.extra)
        .ok()
        .and_then(|e| e.get("view").and_then(|v| v.as_str()).map(str::to_owned));
    let topic = format!("/{region}/{name}");
    let channel = |view, topic, schema| ViewChannel { stream: stream.id, view, topic, schema };
    match asked.as_deref() {
        Some("none") => return Vec::new(),
        Some("values") => {}
        _ => {
            if let Some(image) = ImageInfo::of(stream) {
                let schema = if image.is_compressed() { schema::compressed_image() } else { schema::raw_image() };
                return vec![channel(View::Image(image), topic, schema)];
            }
        }
    }
    let (message, proto) = match ty {
        ElementType::F32 | ElementType::F16 | ElementType::Bf16 => ("FloatValues", Type::Float),
        ElementType::F64 => ("DoubleValues", Type::Double),
        ElementType::I8 | ElementType::I16 | ElementType::I32 => ("Int32Values", Type::Sfixed32),
        ElementType::U8 | ElementType::U16 | ElementType::U32 => ("Uint32Values", Type::Fixed32),
        ElementType::I64 => ("Int64Values", Type::Sfixed64),
        ElementType::U64 => ("Uint64Values", Type::Fixed64),
        ElementType::Bool => ("BoolValues", Type::Bool),
        _ => return Vec::new(),
    };
    let components = stream.components;
    let mut views = vec![channel(View::Values { ty, components }, topic.clone(), schema::values(message, proto))];
    let spatial = components == 3 && matches!(ty, ElementType::F32 | ElementType::F64);
    if spatial && asked.as_deref() != Some("values") {
        let view = View::Points(ty == ElementType::F64);
        views.push(channel(view, format!("{topic}/points"), schema::point_cloud()));
    }
    views
}

/// The frame that a message is made of.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Source<'a> {
    pub(crate) region: &'a str,
    pub(crate) frame_id: u64,
    pub(crate) sim_time: f64,
    /// Wall clock in nanoseconds.
    pub(crate) time: u64,
}

/// Replaces `out` by the message; false if the data does not fit the view, or the message would have more than `limit` bytes.
pub(crate) fn encode(view: &View, from: Source<'_>, data: &StreamData<'_>, limit: usize, out: &mut Vec<u8>) -> bool {
    out.clear();
    match view {
        View::Values { ty, components } => values(*ty, *components, from, data.data, limit, out),
        View::Image(image) => picture(image, from, data.data, out),
        View::Points(double) => points(*double, from, data.data, limit, out),
    }
}

fn values(ty: ElementType, components: u32, from: Source<'_>, data: &[u8], limit: usize, out: &mut Vec<u8>) -> bool {
    let size = ty.size() as usize;
    let count = data.len() / size;
    let wide = match ty {
        ElementType::Bool => 1,
        ElementType::F64 | ElementType::I64 | ElementType::U64 => 8,
        _ => 4,
    };
    if count * wide > limit || !data.len().is_multiple_of(size) {
        return false;
    }
    let mut w = Writer(out);
    w.fixed64(value::FRAME_ID, from.frame_id);
    w.fixed64(value::SIM_TIME, from.sim_time.to_bits());
    w.fixed32(value::COMPONENTS, components);
    w.length(value::VALUES, count * wide);
    let le = cfg!(target_endian = "little");
    match ty {
        // The protobuf encoding is the memory's.
        ElementType::F32
        | ElementType::I32
        | ElementType::U32
        | ElementType::F64
        | ElementType::I64
        | ElementType::U64
            if le =>
        {
            out.extend_from_slice(data);
        }
        ElementType::Bool => out.extend(data.iter().map(|&b| u8::from(b != 0))),
        ElementType::I8 => out.extend(data.iter().flat_map(|&b| i32::from(b as i8).to_le_bytes())),
        ElementType::U8 => out.extend(data.iter().flat_map(|&b| u32::from(b).to_le_bytes())),
        ElementType::I16 => out.extend(each(data).flat_map(|b| i32::from(i16::from_ne_bytes(b)).to_le_bytes())),
        ElementType::U16 => out.extend(each(data).flat_map(|b| u32::from(u16::from_ne_bytes(b)).to_le_bytes())),
        ElementType::F16 => out.extend(each(data).flat_map(|b| f16::from_ne_bytes(b).to_f32().to_le_bytes())),
        ElementType::Bf16 => out.extend(each(data).flat_map(|b| bf16::from_ne_bytes(b).to_f32().to_le_bytes())),
        _ if wide == 8 => out.extend(each(data).flat_map(|b| u64::from_ne_bytes(b).to_le_bytes())),
        _ => out.extend(each(data).flat_map(|b| u32::from_ne_bytes(b).to_le_bytes())),
    }
    true
}

fn each<const N: usize>(data: &[u8]) -> impl Iterator<Item = [u8; N]> {
    data.as_chunks::<N>().0.iter().copied()
}

/// A `google.protobuf.Timestamp`.
fn stamp(w: &mut Writer<'_>, field: u32, time: u64) {
    let mut inner = Vec::with_capacity(16);
    let mut t = Writer(&mut inner);
    t.uint(1, time / 1_000_000_000);
    t.uint(2, time % 1_000_000_000);
    w.bytes(field, &inner);
}

fn picture(image: &ImageInfo, from: Source<'_>, data: &[u8], out: &mut Vec<u8>) -> bool {
    let mut w = Writer(out);
    if image.is_compressed() {
        stamp(&mut w, 1, from.time);
        w.bytes(4, from.region.as_bytes());
        w.bytes(3, image.encoding.as_bytes());
        w.bytes(2, data);
        return true;
    }
    // Rows that are not there would be drawn as garbage, or refused.
    if (data.len() as u64) < u64::from(image.step) * u64::from(image.height) {
        return false;
    }
    stamp(&mut w, 1, from.time);
    w.fixed32(2, image.width);
    w.fixed32(3, image.height);
    w.bytes(4, image.encoding.as_bytes());
    w.fixed32(5, image.step);
    w.bytes(7, from.region.as_bytes());
    w.bytes(6, data);
    true
}

fn points(double: bool, from: Source<'_>, data: &[u8], limit: usize, out: &mut Vec<u8>) -> bool {
    let size = if double { 8 } else { 4 };
    if data.len() > limit || !data.len().is_multiple_of(3 * size) {
        return false;
    }
    let mut w = Writer(out);
    stamp(&mut w, 1, from.time);
    w.bytes(2, from.region.as_bytes());
    w.fixed32(4, 3 * size as u32);
    for (name, i) in ["x", "y", "z"].into_iter().zip(0..) {
        let mut inner = Vec::with_capacity(16);
        let mut f = Writer(&mut inner);
        f.bytes(1, name.as_bytes());
        f.fixed32(2, i * size as u32);
        f.uint(3, if double { 8 } else { 7 });
        w.bytes(5, &inner);
    }
    w.bytes(6, data);
    true
}
