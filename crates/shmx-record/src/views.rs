//! Messages that viewers decode by themselves: numbers, images and point clouds, made from the streams of a frame.

use crate::numbers::{Number, append, each};
use crate::pb::Writer;
use crate::schema::{self, Schema, value};
use shmx::abi::frame::StreamData;
use shmx::meta::{self, Encoding, Role, StreamMeta};
use shmx::{ElementType, StreamInfo};

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
        ty: Number,
        components: u32,
    },
    Image(ImageInfo),
    /// Places and directions.
    Poses {
        double: bool,
        /// Frame of reference, if one is named.
        frame: Option<String>,
    },
    /// The place of a frame of reference in another.
    Transform {
        double: bool,
        /// The other one, if it is named.
        frame: Option<String>,
        child: String,
    },
    Points {
        /// Whether numbers are f64; f32 otherwise.
        double: bool,
        components: u32,
        /// Frame of reference, if one is named.
        frame: Option<String>,
        /// From how many points on they are shown.
        least: usize,
    },
}

/// Frame of reference of points and poses that name none. One for all regions: a viewer shows frames beside each other
/// only if it knows how they lie.
const FRAME: &str = "world";
/// Units that three components without a role may have to be taken for places.
const LENGTHS: &[&str] = &["m", "dm", "cm", "mm", "um", "km"];

impl View {
    /// The field of the message that has the stream's bytes as they are.
    pub(crate) fn data_field(&self) -> Option<u32> {
        match self {
            Self::Image(image) if image.encoding.is_compressed() => Some(2),
            Self::Image(_) | Self::Points { .. } => Some(6),
            Self::Values { .. } | Self::Poses { .. } | Self::Transform { .. } => None,
        }
    }
}

/// A channel of a stream: what it shows, where, and under which schema.
#[derive(Clone, Debug)]
pub(crate) struct ViewChannel {
    pub(crate) stream: u32,
    pub(crate) view: View,
    pub(crate) topic: String,
    pub(crate) schema: Schema,
}

/// Whether a stream has numbers, and its elements are as long as they should be.
pub(crate) fn is_numeric(stream: &StreamInfo) -> bool {
    let whole = stream.element_type().map(|ty| u64::from(ty.size()) * u64::from(stream.components));
    whole == Some(u64::from(stream.bytes_per_elem)) && stream.components > 0
}

/// The messages that a stream gets besides its field in the message of small streams, by convention; none for streams
/// that are neither numeric nor an image.
pub(crate) fn views_of(region: &str, name: &str, stream: &StreamInfo) -> Vec<ViewChannel> {
    let Some(ty) = stream.element_type().filter(|_| is_numeric(stream)) else { return Vec::new() };
    let Some(number) = Number::of(ty) else { return Vec::new() };
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
    let components = stream.components;
    let values = View::Values { ty: number, components };
    let mut views = vec![channel(values, topic.clone(), schema::values(number.list(), number.proto()))];
    let float = matches!(ty, ElementType::F32 | ElementType::F64);
    if !float || meta.view == Some(meta::View::Values) {
        return views;
    }
    let double = ty == ElementType::F64;
    let length = meta.unit.as_deref().is_none_or(|unit| LENGTHS.contains(&unit));
    let spatial = match meta.role {
        Some(Role::Points) => components >= 2,
        // An image that came this far cannot be shown as one: for instance an ordered cloud with width and height.
        None | Some(Role::Image) => components == 3 && length,
        Some(_) => false,
    };
    if meta.role == Some(Role::Pose) && components == 7 {
        let view = View::Poses { double, frame: meta.frame.clone() };
        views.push(channel(view, format!("{topic}/poses"), schema::poses()));
        if let Some(child) = meta.child {
            let view = View::Transform { double, frame: meta.frame, child };
            views.push(channel(view, format!("{topic}/transform"), schema::transform()));
        }
    } else if spatial {
        // A single one of three components without a role is a vector of any kind rather than a cloud.
        let least = if meta.role == Some(Role::Points) { 0 } else { 2 };
        let view = View::Points { double, components, frame: meta.frame, least };
        views.push(channel(view, format!("{topic}/points"), schema::point_cloud()));
    }
    views
}

/// The frame that a message is made of.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Source {
    pub(crate) frame_id: u64,
    pub(crate) sim_time: f64,
    /// Wall clock in nanoseconds.
    pub(crate) time: u64,
}

/// Replaces `out` by the message; false if the data does not fit the view, or the message would have more than `limit`
/// bytes.
pub(crate) fn encode(view: &View, from: Source, data: &StreamData<'_>, limit: usize, out: &mut Vec<u8>) -> bool {
    out.clear();
    match view {
        View::Values { ty, components } => values(*ty, *components, from, data.data, limit, out),
        View::Image(image) => picture(image, from, data.data, out),
        View::Poses { double, frame } => poses(*double, frame.as_deref(), from, data.data, limit, out),
        View::Transform { double, frame, child } => {
            transform(*double, frame.as_deref(), child, from, data.data, limit, out)
        }
        View::Points { double, components, frame, least } => {
            let few = least.saturating_mul(*components as usize).saturating_mul(if *double { 8 } else { 4 });
            data.data.len() >= few && points(*double, *components, frame.as_deref(), from, data.data, limit, out)
        }
    }
}

fn values(ty: Number, components: u32, from: Source, data: &[u8], limit: usize, out: &mut Vec<u8>) -> bool {
    let count = data.len() / ty.size();
    let bytes = count * ty.width();
    if bytes > limit || !data.len().is_multiple_of(ty.size()) {
        return false;
    }
    let mut w = Writer(out);
    w.fixed64(value::FRAME_ID, from.frame_id);
    w.fixed64(value::SIM_TIME, from.sim_time.to_bits());
    w.fixed32(value::COMPONENTS, components);
    w.length(value::VALUES, bytes);
    append(ty, data, out);
    true
}

/// A `google.protobuf.Timestamp`.
fn stamp(w: &mut Writer<'_>, field: u32, time: u64) {
    let mut inner = Vec::with_capacity(16);
    let mut t = Writer(&mut inner);
    t.uint(1, time / 1_000_000_000);
    t.uint(2, time % 1_000_000_000);
    w.bytes(field, &inner);
}

fn picture(image: &ImageInfo, from: Source, data: &[u8], out: &mut Vec<u8>) -> bool {
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

/// All values as f64.
fn doubles(double: bool, data: &[u8]) -> Vec<f64> {
    if double {
        each(data).map(f64::from_ne_bytes).collect()
    } else {
        each(data).map(|b| f32::from_ne_bytes(b).into()).collect()
    }
}

/// A message of doubles: x, y, z, or a quaternion.
fn vector(numbers: &[f64]) -> Vec<u8> {
    let mut inner = Vec::with_capacity(36);
    (1..).zip(numbers).for_each(|(field, n)| Writer(&mut inner).fixed64(field, n.to_bits()));
    inner
}

/// Of exactly one pose.
fn transform(
    double: bool,
    frame: Option<&str>,
    child: &str,
    from: Source,
    data: &[u8],
    limit: usize,
    out: &mut Vec<u8>,
) -> bool {
    let size = if double { 8 } else { 4 };
    if data.len() > limit || data.len() != 7 * size {
        return false;
    }
    let numbers = doubles(double, data);
    let mut w = Writer(out);
    stamp(&mut w, 1, from.time);
    w.bytes(2, frame.unwrap_or(FRAME).as_bytes());
    w.bytes(3, child.as_bytes());
    w.bytes(4, &vector(&numbers[..3]));
    w.bytes(5, &vector(&numbers[3..]));
    true
}

fn poses(double: bool, frame: Option<&str>, from: Source, data: &[u8], limit: usize, out: &mut Vec<u8>) -> bool {
    let size = if double { 8 } else { 4 };
    if data.len() > limit || !data.len().is_multiple_of(7 * size) {
        return false;
    }
    let numbers = doubles(double, data);
    let mut w = Writer(out);
    stamp(&mut w, 1, from.time);
    // As points, they need a place in space.
    w.bytes(2, frame.unwrap_or(FRAME).as_bytes());
    for pose in numbers.as_chunks::<7>().0 {
        let mut inner = Vec::with_capacity(80);
        Writer(&mut inner).bytes(1, &vector(&pose[..3]));
        Writer(&mut inner).bytes(2, &vector(&pose[3..]));
        w.bytes(3, &inner);
    }
    true
}

fn points(
    double: bool,
    components: u32,
    frame: Option<&str>,
    from: Source,
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
    w.bytes(2, frame.unwrap_or(FRAME).as_bytes());
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
        let from = Source { frame_id: 1, sim_time: 0.0, time: 1 };
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
    fn a_pose_is_a_place_and_a_direction() {
        let schemas = schemas(F64, 7, r#"{"role":"pose"}"#);
        assert_eq!(schemas, ["shmx.DoubleValues", "foxglove.PosesInFrame"]);
        let numbers: Vec<u8> = (1..=14).flat_map(|n| f64::from(n).to_ne_bytes()).collect();
        let found = message(F64, 7, r#"{"role":"pose","frame":"map"}"#, &numbers).unwrap();
        assert!(contains(&found, b"map"));
        // Of the second one: y, and the quaternion's w.
        for (field, n) in [(2, 9.0_f64), (4, 14.0)] {
            assert!(contains(&found, &[&[field << 3 | 1][..], &n.to_le_bytes()].concat()));
        }
        assert!(message(F64, 7, r#"{"role":"pose"}"#, &numbers[8..]).is_none(), "no whole one");
        let narrow: Vec<u8> = (1..=7_u8).flat_map(|n| f32::from(n).to_ne_bytes()).collect();
        assert!(contains(&message(F32, 7, r#"{"role":"pose"}"#, &narrow).unwrap(), &7.0_f64.to_le_bytes()));
    }

    #[test]
    fn a_pose_with_a_child_is_a_transform() {
        let extra = r#"{"role":"pose","frame":"map","child":"base"}"#;
        assert_eq!(schemas(F64, 7, extra), ["shmx.DoubleValues", "foxglove.PosesInFrame", "foxglove.FrameTransform"]);
        let numbers: Vec<u8> = (1..=7).flat_map(|n| f64::from(n).to_ne_bytes()).collect();
        let found = message(F64, 7, extra, &numbers).unwrap();
        assert!(contains(&found, b"\x12\x03map\x1A\x04base\x22\x1B"));
        for (field, n) in [(3, 3.0_f64), (4, 7.0)] {
            assert!(contains(&found, &[&[field << 3 | 1][..], &n.to_le_bytes()].concat()));
        }
        // The root where none is named; and of one pose only.
        let rootless = r#"{"role":"pose","child":"base"}"#;
        assert!(contains(&message(F64, 7, rootless, &numbers).unwrap(), b"\x12\x05world"));
        assert!(message(F64, 7, extra, &[numbers.clone(), numbers].concat()).is_none());
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
        let points = [0; 24];
        assert!(contains(&message(F32, 3, "", &points).unwrap(), b"world"), "points need a place");
        let cloud = message(F32, 3, r#"{"frame":"lidar"}"#, &points).unwrap();
        assert!(contains(&cloud, b"lidar") && !contains(&cloud, b"world"));
    }

    #[test]
    fn a_vector_is_no_cloud() {
        assert!(message(F32, 3, "", &[0; 12]).is_none());
        assert!(message(F32, 3, r#"{"unit":"mm"}"#, &[0; 24]).is_some());
        for extra in [r#"{"role":"points"}"#, r#"{"view":"points"}"#] {
            assert!(message(F32, 3, extra, &[0; 12]).is_some(), "{extra}");
        }
        assert_eq!(schemas(F64, 3, r#"{"unit":"rad/s"}"#), ["shmx.DoubleValues"]);
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
