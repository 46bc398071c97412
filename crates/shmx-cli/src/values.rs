//! Stream bytes as values.

use crate::common::{hex, safe};
use serde_json::Value;
use shmx::abi::frame::StreamData;
use shmx::{Directory, ElementType, OwnedFrame, StreamInfo};

fn float(v: f64) -> Value {
    // JSON has no name for these.
    serde_json::Number::from_f64(v).map_or_else(|| Value::from(v.to_string()), Value::Number)
}

fn component(ty: ElementType, b: &[u8]) -> Value {
    fn le<const N: usize>(b: &[u8]) -> [u8; N] {
        b.try_into().unwrap_or([0; N])
    }
    // The shortest text of the narrow type, so that 0.1 does not show as 0.10000000149.
    let narrow = |v: f32| float(v.to_string().parse().unwrap_or(f64::from(v)));
    match ty {
        ElementType::Bool => match b.first() {
            Some(0) => Value::from(false),
            Some(1) => Value::from(true),
            other => Value::from(other.copied()),
        },
        ElementType::I8 => i8::from_le_bytes(le(b)).into(),
        ElementType::U8 => u8::from_le_bytes(le(b)).into(),
        ElementType::I16 => i16::from_le_bytes(le(b)).into(),
        ElementType::U16 => u16::from_le_bytes(le(b)).into(),
        ElementType::I32 => i32::from_le_bytes(le(b)).into(),
        ElementType::U32 => u32::from_le_bytes(le(b)).into(),
        ElementType::I64 => i64::from_le_bytes(le(b)).into(),
        ElementType::U64 => u64::from_le_bytes(le(b)).into(),
        ElementType::F16 => narrow(shmx::f16::from_le_bytes(le(b)).to_f32()),
        ElementType::Bf16 => narrow(shmx::bf16::from_le_bytes(le(b)).to_f32()),
        ElementType::F32 => narrow(f32::from_le_bytes(le(b))),
        ElementType::F64 => float(f64::from_le_bytes(le(b))),
        _ => hex(b).into(),
    }
}

/// At most `limit` elements: scalars as they are, vectors as arrays; hex digits if the directory does not fit.
pub(crate) fn decode(info: Option<&StreamInfo>, data: &[u8], limit: usize) -> Value {
    let raw = || Value::from(hex(data.get(..limit).unwrap_or(data)));
    let Some(info) = info else { return raw() };
    let Some(ty) = info.element_type() else { return raw() };
    let (size, elem) = (ty.size() as usize, info.bytes_per_elem as usize);
    if elem == 0 || elem as u64 != size as u64 * u64::from(info.components) || !data.len().is_multiple_of(elem) {
        return raw();
    }
    let one = |e: &[u8]| {
        if info.components == 1 { component(ty, e) } else { e.chunks_exact(size).map(|c| component(ty, c)).collect() }
    };
    data.chunks_exact(elem).take(limit).map(one).collect()
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
    let ty = info.element_type()?;
    let size = u64::from(ty.size());
    let whole = u64::from(info.bytes_per_elem);
    if component_at >= info.components || size * u64::from(info.components) != whole {
        return None;
    }
    let at = (u64::from(element) * whole + u64::from(component_at) * size).checked_sub(u64::from(start))?;
    let at = usize::try_from(at).ok()?;
    let b = part.get(at..at.checked_add(size as usize)?)?;
    match component(ty, b) {
        Value::Number(n) => n.as_f64(),
        Value::Bool(b) => Some(u8::from(b).into()),
        Value::String(s) => s.parse().ok(), // not a number, or infinite
        _ => None,
    }
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
