//! Messages that viewers decode by themselves: numbers, images and point clouds, made from the streams of a frame.

use crate::descriptor::Type;
use crate::pb::Writer;
use crate::schema::{self, Schema, value};
use shmx::abi::frame::StreamData;
use shmx::meta::{self, Encoding, Role, StreamMeta};
use shmx::{ElementType, StreamInfo, bf16, f16};

/// An image as the stream's metadata describes it; see `docs/streams.md`.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ImageInfo {
    /// Pixels per row; 0 in a compressed image that does not say.
    pub width: u32,
    /// Rows; 0 in a compressed image that does not say.
    pub height: u32,
    /// Pixel format.
    pub encoding: Encoding,
    /// Bytes per row; 0 in a compressed image.
    pub step: u32,
    /// Frame of reference, if one is named.
    pub frame: Option<String>,
}

impl ImageInfo {
    /// The image in a stream; `None` if it is none, or if its size or format is missing.
    #[must_use]
    pub fn of(stream: &StreamInfo) -> Option<Self> {
        Self::described(&StreamMeta::parse(&stream.extra).0, stream)
    }

    fn described(meta: &StreamMeta, stream: &StreamInfo) -> Option<Self> {
        let encoding = meta.image_encoding(stream.element_type()?, stream.components)?;
        let frame = meta.frame.clone();
        if encoding.is_compressed() {
            let (height, width) = meta.image_size().unwrap_or_default();
            return Some(Self { width, height, encoding, step: 0, frame });
        }
        let (height, width) = meta.image_size()?;
        // Of a format that is not known, a byte per pixel is the least.
        let natural = || encoding.row_bytes(width).unwrap_or(u64::from(width)).try_into().ok();
        let step = meta.row_step.or_else(natural)?;
        Some(Self { width, height, encoding, step, frame })
    }
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
    Points {
        /// Whether numbers are f64; f32 otherwise.
        double: bool,
        components: u32,
        /// Frame of reference, if one is named.
        frame: Option<String>,
    },
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
    let (meta, _) = StreamMeta::parse(&stream.extra);
    let topic = format!("/{region}/{name}");
    let channel = |view, topic, schema| ViewChannel { stream: stream.id, view, topic, schema };
    match meta.view {
        Some(meta::View::Nothing) => return Vec::new(),
        Some(meta::View::Values) => {}
        _ => {
            if let Some(image) = ImageInfo::described(&meta, stream) {
                let compressed = image.encoding.is_compressed();
                let schema = if compressed { schema::compressed_image() } else { schema::raw_image() };
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
    let spatial = match meta.role {
        Some(Role::Points) => components >= 2,
        // An image that came this far cannot be shown as one: for instance an ordered cloud with width and height.
        None | Some(Role::Image) => components == 3,
        Some(_) => false,
    };
    let float = matches!(ty, ElementType::F32 | ElementType::F64);
    if spatial && float && meta.view != Some(meta::View::Values) {
        let view = View::Points { double: ty == ElementType::F64, components, frame: meta.frame };
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

/// Replaces `out` by the message; false if the data does not fit the view, or the message would have more than `limit`
/// bytes.
pub(crate) fn encode(view: &View, from: Source<'_>, data: &StreamData<'_>, limit: usize, out: &mut Vec<u8>) -> bool {
    out.clear();
    match view {
        View::Values { ty, components } => values(*ty, *components, from, data.data, limit, out),
        View::Image(image) => picture(image, from, data.data, out),
        View::Points { double, components, frame } => {
            points(*double, *components, frame.as_deref(), from, data.data, limit, out)
        }
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
    // Without one, viewers take an image for a thing of its own. A made-up one would be a place in space, which their
    // 3D views may choose as the origin and then show nothing else.
    let frame = image.frame.as_deref();
    if image.encoding.is_compressed() {
        stamp(&mut w, 1, from.time);
        if let Some(frame) = frame {
            w.bytes(4, frame.as_bytes());
        }
        w.bytes(3, image.encoding.name().as_bytes());
        w.bytes(2, data);
        return true;
    }
    // Rows that are not there would be drawn as garbage, or rejected.
    if u128::from(data.len() as u64) < u128::from(image.step) * u128::from(image.encoding.rows(image.height)) {
        return false;
    }
    stamp(&mut w, 1, from.time);
    w.fixed32(2, image.width);
    w.fixed32(3, image.height);
    w.bytes(4, image.encoding.name().as_bytes());
    w.fixed32(5, image.step);
    if let Some(frame) = frame {
        w.bytes(7, frame.as_bytes());
    }
    w.bytes(6, data);
    true
}

fn points(
    double: bool,
    components: u32,
    frame: Option<&str>,
    from: Source<'_>,
    data: &[u8],
    limit: usize,
    out: &mut Vec<u8>,
) -> bool {
    let size = if double { 8 } else { 4 };
    let Some(stride) = components.checked_mul(size) else { return false };
    if data.len() > limit || !data.len().is_multiple_of(stride as usize) {
        return false;
    }
    let mut w = Writer(out);
    stamp(&mut w, 1, from.time);
    // Points need a place in space; those of a region share one.
    w.bytes(2, frame.unwrap_or(from.region).as_bytes());
    w.fixed32(4, stride);
    for (name, i) in ["x", "y", "z"].into_iter().zip(0..components) {
        let mut inner = Vec::with_capacity(16);
        let mut f = Writer(&mut inner);
        f.bytes(1, name.as_bytes());
        f.fixed32(2, i * size);
        f.uint(3, if double { 8 } else { 7 });
        w.bytes(5, &inner);
    }
    w.bytes(6, data);
    true
}

#[cfg(test)]
mod tests {
    use super::*;
    use shmx::StreamSpec;

    fn stream(ty: ElementType, components: u32, extra: &str) -> StreamInfo {
        (&StreamSpec::new(1, "s", ty, components).extra(extra)).into()
    }

    /// Schema names of the channels that a stream gets.
    fn schemas(ty: ElementType, components: u32, extra: &str) -> Vec<String> {
        views_of("r", "s", &stream(ty, components, extra)).into_iter().map(|c| c.schema.name).collect()
    }

    fn message(ty: ElementType, components: u32, extra: &str, data: &[u8]) -> Option<Vec<u8>> {
        let view = views_of("region", "s", &stream(ty, components, extra)).pop().unwrap().view;
        let from = Source { region: "region", frame_id: 1, sim_time: 0.0, time: 1 };
        let data = StreamData { stream_id: 1, elem_count: 0, data };
        let mut out = Vec::new();
        encode(&view, from, &data, 1000, &mut out).then_some(out)
    }

    fn contains(message: &[u8], part: &[u8]) -> bool {
        message.windows(part.len()).any(|w| w == part)
    }

    use ElementType::{F32, F64, U8, U16};

    #[test]
    fn old_and_new_keys_describe_the_same_image() {
        let image = |ty, components, extra| {
            let i = ImageInfo::of(&stream(ty, components, extra))?;
            Some((i.width, i.height, i.encoding.name().to_owned(), i.step))
        };
        let is = |encoding: &str, step| Some((4, 2, encoding.to_owned(), step));
        assert_eq!(image(U8, 3, r#"{"width":4,"height":2}"#), is("rgb8", 12));
        assert_eq!(image(U8, 3, r#"{"role":"image","shape":[2,4]}"#), is("rgb8", 12));
        assert_eq!(image(U16, 1, r#"{"width":4,"height":2}"#), is("mono16", 8));
        assert_eq!(image(U8, 1, r#"{"width":4,"height":2,"encoding":"bgr8","step":16}"#), is("bgr8", 16));
        assert_eq!(image(U8, 1, r#"{"shape":[2,4],"encoding":"bgr8","row_step":16}"#), is("bgr8", 16));
        assert_eq!(image(U16, 3, r#"{"shape":[2,4],"encoding":"rgb16"}"#), is("rgb16", 24));
        assert_eq!(image(U8, 1, r#"{"width":4,"height":2,"encoding":"p010"}"#), is("p010", 4));
        assert_eq!(image(U8, 1, r#"{"encoding":"jpeg"}"#), Some((0, 0, "jpeg".into(), 0)));
        assert_eq!(image(U8, 1, r#"{"encoding":"jpeg","width":4,"height":2}"#), is("jpeg", 0));
        for none in
            ["", "{}", "x", r#"{"width":4}"#, r#"{"width":0,"height":2}"#, r#"{"encoding":"rgb8"}"#, "{\"width\""]
        {
            assert_eq!(image(U8, 3, none), None, "{none}");
        }
        assert_eq!(image(F64, 1, r#"{"width":4,"height":2}"#), None, "no encoding is implied");
    }

    #[test]
    fn views_follow_role_and_old_hints() {
        let (raw, packed) = ("foxglove.RawImage".to_owned(), "foxglove.CompressedImage".to_owned());
        let (float, cloud) = ("shmx.FloatValues".to_owned(), "foxglove.PointCloud".to_owned());
        assert_eq!(schemas(U8, 3, r#"{"width":4,"height":2}"#), std::slice::from_ref(&raw));
        assert_eq!(schemas(U8, 3, r#"{"shape":[2,4],"encoding":"bgr8"}"#), [raw]);
        assert_eq!(schemas(U8, 1, r#"{"encoding":"png"}"#), [packed]);
        assert_eq!(schemas(U8, 3, r#"{"width":4,"height":2,"view":"values"}"#), ["shmx.Uint32Values"]);
        assert!(schemas(U8, 3, r#"{"width":4,"height":2,"view":"none"}"#).is_empty());
        let both = [float.clone(), cloud];
        for extra in ["", "x", r#"{"view":"points"}"#, r#"{"role":"points"}"#, r#"{"width":4,"height":2}"#] {
            assert_eq!(schemas(F32, 3, extra), both, "{extra}");
        }
        for extra in [r#"{"view":"values"}"#, r#"{"role":"points","view":"values"}"#, r#"{"role":"velocity"}"#] {
            assert_eq!(schemas(F32, 3, extra), std::slice::from_ref(&float), "{extra}");
        }
        assert_eq!(schemas(F32, 4, r#"{"role":"points"}"#), both);
        assert_eq!(schemas(F32, 4, ""), [float]);
    }

    #[test]
    fn an_image_has_a_frame_of_reference_only_if_one_is_named() {
        for encoding in ["rgb8", "jpeg"] {
            let plain = format!(r#"{{"width":1,"height":1,"encoding":"{encoding}"}}"#);
            let named = format!(r#"{{"shape":[1,1],"encoding":"{encoding}","frame":"cam"}}"#);
            let plain = message(U8, 1, &plain, &[1, 2, 3]).unwrap();
            assert!(!contains(&plain, b"region") && !contains(&plain, b"cam"));
            // The only difference is the field: tag, length, text.
            let tag = if encoding == "jpeg" { 4 << 3 | 2 } else { 7 << 3 | 2 };
            let named = message(U8, 1, &named, &[1, 2, 3]).unwrap();
            assert!(contains(&named, &[tag, 3, b'c', b'a', b'm']));
            assert_eq!(named.len(), plain.len() + 5);
        }
        assert!(contains(&message(F32, 3, "", &[0; 12]).unwrap(), b"region"), "points need a place");
        let cloud = message(F32, 3, r#"{"frame":"lidar"}"#, &[0; 12]).unwrap();
        assert!(contains(&cloud, b"lidar") && !contains(&cloud, b"region"));
    }

    #[test]
    fn messages_need_all_their_data() {
        let nv12 = r#"{"shape":[2,4],"encoding":"nv12"}"#;
        assert!(message(U8, 1, nv12, &[0; 12]).is_some());
        assert!(message(U8, 1, nv12, &[0; 11]).is_none());
        assert!(message(U8, 3, r#"{"width":1000000000,"height":4294967295}"#, &[0; 12]).is_none());
        // Points with more than a place: the distance from one to the next counts.
        let cloud = message(F32, 4, r#"{"role":"points"}"#, &[0; 32]).unwrap();
        assert!(contains(&cloud, &[4 << 3 | 5, 16, 0, 0, 0]));
        assert!(message(F32, 4, r#"{"role":"points"}"#, &[0; 24]).is_none());
        assert!(!contains(&message(F32, 2, r#"{"role":"points"}"#, &[0; 16]).unwrap(), b"z"));
    }
}
