//! Stream bytes as values.

use crate::escape::safe;
use clap::Args;
use serde_json::Value;
use shmx::abi::frame::StreamData;
use shmx::{Directory, ElementType, OwnedFrame, StreamInfo};
use shmx_record::hex;

fn float(v: f64) -> Value {
    // JSON has no name for these.
    serde_json::Number::from_f64(v).map_or_else(|| Value::from(v.to_string()), Value::Number)
}

/// A component of an element, as wide as all of its kind.
enum Component {
    Bool(u8),
    Signed(i64),
    Unsigned(u64),
    Narrow(f32),
    Wide(f64),
    /// Of a type of the future.
    Unknown,
}

impl Component {
    /// A region has the byte order of its machine.
    fn of(ty: ElementType, b: &[u8]) -> Self {
        fn ne<const N: usize>(b: &[u8]) -> [u8; N] {
            b.first_chunk().copied().unwrap_or([0; N])
        }
        match ty {
            ElementType::Bool => Self::Bool(u8::from_ne_bytes(ne(b))),
            ElementType::I8 => Self::Signed(i8::from_ne_bytes(ne(b)).into()),
            ElementType::U8 => Self::Unsigned(u8::from_ne_bytes(ne(b)).into()),
            ElementType::I16 => Self::Signed(i16::from_ne_bytes(ne(b)).into()),
            ElementType::U16 => Self::Unsigned(u16::from_ne_bytes(ne(b)).into()),
            ElementType::I32 => Self::Signed(i32::from_ne_bytes(ne(b)).into()),
            ElementType::U32 => Self::Unsigned(u32::from_ne_bytes(ne(b)).into()),
            ElementType::I64 => Self::Signed(i64::from_ne_bytes(ne(b))),
            ElementType::U64 => Self::Unsigned(u64::from_ne_bytes(ne(b))),
            ElementType::F16 => Self::Narrow(shmx::f16::from_ne_bytes(ne(b)).to_f32()),
            ElementType::Bf16 => Self::Narrow(shmx::bf16::from_ne_bytes(ne(b)).to_f32()),
            ElementType::F32 => Self::Narrow(f32::from_ne_bytes(ne(b))),
            ElementType::F64 => Self::Wide(f64::from_ne_bytes(ne(b))),
            _ => Self::Unknown,
        }
    }

    fn number(&self) -> f64 {
        match *self {
            Self::Bool(v) => v.into(),
            Self::Signed(v) => v as f64,
            Self::Unsigned(v) => v as f64,
            Self::Narrow(v) => v.into(),
            Self::Wide(v) => v,
            Self::Unknown => f64::NAN,
        }
    }
}

/// A component as a number; of a type of the future, none that is one.
pub(crate) fn number_of(ty: ElementType, b: &[u8]) -> f64 {
    Component::of(ty, b).number()
}

fn component(ty: ElementType, b: &[u8]) -> Value {
    match Component::of(ty, b) {
        Component::Bool(v @ (0 | 1)) => Value::from(v == 1),
        Component::Bool(v) => v.into(),
        Component::Signed(v) => v.into(),
        Component::Unsigned(v) => v.into(),
        // The shortest text of the narrow type, so that 0.1 does not show as 0.10000000149.
        Component::Narrow(v) => float(v.to_string().parse().unwrap_or(f64::from(v))),
        Component::Wide(v) => float(v),
        Component::Unknown => hex::encode(b).into(),
    }
}

/// The type of a stream's components if its elements are numbers.
pub(crate) fn numeric(info: &StreamInfo) -> Option<ElementType> {
    let ty = info.element_type()?;
    let whole = u64::from(ty.size()) * u64::from(info.components) == u64::from(info.bytes_per_elem);
    (whole && info.components > 0).then_some(ty)
}

/// At most `limit` elements: scalars as they are, vectors as arrays; hex digits if the directory does not fit.
pub(crate) fn decode(info: Option<&StreamInfo>, data: &[u8], limit: usize) -> Value {
    let raw = || Value::from(hex::encode(data.get(..limit).unwrap_or(data)));
    let Some(info) = info else { return raw() };
    let Some(ty) = numeric(info) else { return raw() };
    let (size, elem) = (ty.size() as usize, info.bytes_per_elem as usize);
    if elem == 0 || !data.len().is_multiple_of(elem) {
        return raw();
    }
    let one = |e: &[u8]| {
        if info.components == 1 { component(ty, e) } else { e.chunks_exact(size).map(|c| component(ty, c)).collect() }
    };
    data.chunks_exact(elem).take(limit).map(one).collect()
}

/// How much of the streams is printed as JSON.
#[derive(Clone, Copy, Debug, Args)]
pub(crate) struct Data {
    /// With --json: print at most this many elements of each stream. Without it, `read` and `view` print all, and
    /// `inspect` none.
    #[arg(long, value_name = "N", requires = "json")]
    pub(crate) limit: Option<usize>,
    /// With --json: print no elements, only how many there are.
    #[arg(long, requires = "json", conflicts_with = "limit")]
    pub(crate) no_data: bool,
}

/// How much of each stream is written.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Shown {
    /// How many elements there are.
    Count,
    /// At most this many.
    Elements(usize),
}

impl From<Data> for Shown {
    fn from(d: Data) -> Self {
        if d.no_data { Self::Count } else { d.limit.map_or(Self::Elements(usize::MAX), Self::Elements) }
    }
}

/// A stream of a frame as JSON, straight into text: an image has millions of elements. An array of the elements, or
/// with a limit that some do not fit, or without data, an object that says how many there are.
pub(crate) fn write_stream(
    out: &mut Vec<u8>,
    info: Option<&StreamInfo>,
    elements: u32,
    data: &[u8],
    shown: Shown,
) -> std::io::Result<()> {
    let type_of = info.map_or_else(|| "undeclared".to_owned(), type_text);
    match shown {
        Shown::Count => crate::json::write(out, &serde_json::json!({"elements": elements, "type": type_of})),
        Shown::Elements(limit) if limit < elements as usize => {
            let head = serde_json::json!({"elements": elements, "type": type_of});
            crate::json::write(out, &head)?;
            // Another key of the object just closed.
            out.pop();
            out.extend_from_slice(b",\"first\":");
            write_elements(out, info, data, limit)?;
            out.push(b'}');
            Ok(())
        }
        Shown::Elements(limit) => write_elements(out, info, data, limit),
    }
}

fn write_elements(out: &mut Vec<u8>, info: Option<&StreamInfo>, data: &[u8], limit: usize) -> std::io::Result<()> {
    use std::io::Write;
    let shape = info.and_then(|i| Some((numeric(i)?, i.components as usize, i.bytes_per_elem as usize)));
    let fits = |&(_, _, elem): &(ElementType, usize, usize)| elem > 0 && data.len().is_multiple_of(elem);
    let Some((ty, components, elem)) = shape.filter(fits) else {
        return crate::json::write(out, &decode(info, data, limit));
    };
    // Bytes are what is long.
    let put = |out: &mut Vec<u8>, b: &[u8]| match ty {
        ElementType::U8 => write!(out, "{}", b[0]),
        _ => crate::json::write(out, &component(ty, b)),
    };
    out.push(b'[');
    for (i, e) in data.chunks_exact(elem).take(limit).enumerate() {
        if i > 0 {
            out.push(b',');
        }
        if components == 1 {
            put(out, e)?;
            continue;
        }
        out.push(b'[');
        for (k, c) in e.chunks_exact(ty.size() as usize).enumerate() {
            if k > 0 {
                out.push(b',');
            }
            put(out, c)?;
        }
        out.push(b']');
    }
    out.push(b']');
    Ok(())
}

/// Streams of a frame under their names; a name that is missing or taken is made from the number.
pub(crate) fn streams<'f>(
    dir: &Directory,
    frame: &'f OwnedFrame,
) -> Result<Vec<(String, StreamData<'f>)>, shmx::abi::frame::FrameError> {
    let mut named: Vec<(String, StreamData<'f>)> = Vec::new();
    for s in frame.decode()? {
        let name = dir.stream(s.stream_id).map(|i| i.name_lossy().into_owned());
        let name = name.filter(|n| !n.is_empty() && named.iter().all(|(other, _)| other != n));
        named.push((name.unwrap_or_else(|| format!("#{}", s.stream_id)), s));
    }
    Ok(named)
}

/// The number of a stream given by name or number.
pub(crate) fn find_stream(region: &str, dir: &Directory, stream: &str) -> anyhow::Result<u32> {
    let by_number = || stream.parse().ok().filter(|&id| dir.stream(id).is_some());
    dir.by_name(stream).map(|s| s.id).or_else(by_number).ok_or_else(|| {
        let names: Vec<_> = dir.streams.iter().map(|s| safe(&s.name_lossy()).into_owned()).collect();
        anyhow::anyhow!("`{region}` has no stream `{stream}`; it has: {}", names.join(", "))
    })
}

/// The type of a stream's elements, as in `f32x3`.
pub(crate) fn type_text(s: &StreamInfo) -> String {
    let ty = s.element_type().map_or_else(|| format!("type {}", s.element_type_code), |t| t.to_string());
    if s.components == 1 { ty } else { format!("{ty}x{}", s.components) }
}

/// One component of an element as a number; none where the stream is not numeric or has no such place.
///
/// `part` are bytes of the stream from `start` on.
pub(crate) fn number(info: &StreamInfo, part: &[u8], start: u32, element: u32, component_at: u32) -> Option<f64> {
    let ty = numeric(info).filter(|_| component_at < info.components)?;
    let (size, whole) = (u64::from(ty.size()), u64::from(info.bytes_per_elem));
    let at = (u64::from(element) * whole + u64::from(component_at) * size).checked_sub(u64::from(start))?;
    let at = usize::try_from(at).ok()?;
    part.get(at..at.checked_add(size as usize)?).map(|b| number_of(ty, b))
}

/// A frame's streams as text, long ones cut; `only` those with these numbers.
pub(crate) fn text(
    dir: &Directory,
    frame: &OwnedFrame,
    only: Option<&[u32]>,
) -> Result<String, shmx::abi::frame::FrameError> {
    const SHOWN: usize = 8;
    let mut out = String::new();
    for (name, s) in streams(dir, frame)? {
        if only.is_some_and(|ids| !ids.contains(&s.stream_id)) {
            continue;
        }
        let value = decode(dir.stream(s.stream_id), s.data, SHOWN);
        let shown = match value.as_array().map(Vec::as_slice) {
            Some([one]) if s.elem_count == 1 => one.to_string(),
            _ => value.to_string(),
        };
        let more = if s.elem_count as usize > SHOWN { format!("..({} elements)", s.elem_count) } else { String::new() };
        out.push_str(&format!(" {}={shown}{more}", safe(&name)));
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use shmx::StreamSpec;

    #[test]
    fn streams_are_written_as_they_are_decoded() {
        let info: StreamInfo = (&StreamSpec::new(1, "s", ElementType::F32, 2)).into();
        let data: Vec<u8> = [0.1_f32, f32::NAN, 3.0, -4.5].iter().flat_map(|v| v.to_le_bytes()).collect();
        let written = |info: Option<&StreamInfo>, data: &[u8], n, shown| {
            let mut out = Vec::new();
            write_stream(&mut out, info, n, data, shown).unwrap();
            serde_json::from_slice::<Value>(&out).unwrap()
        };
        let all = written(Some(&info), &data, 2, Shown::Elements(usize::MAX));
        assert_eq!(all, decode(Some(&info), &data, usize::MAX));
        assert_eq!(all, serde_json::json!([[0.1, "NaN"], [3.0, -4.5]]));
        let some = written(Some(&info), &data, 2, Shown::Elements(1));
        assert_eq!(some, serde_json::json!({"elements": 2, "type": "f32x2", "first": [[0.1, "NaN"]]}));
        let none = written(Some(&info), &data, 2, Shown::Count);
        assert_eq!(none, serde_json::json!({"elements": 2, "type": "f32x2"}));
        assert_eq!(written(None, &[1, 255], 7, Shown::Elements(usize::MAX)), serde_json::json!("01ff"));
        assert_eq!(written(Some(&info), &data[..5], 1, Shown::Elements(usize::MAX)), serde_json::json!("cdcccc3d00"));
    }
}
