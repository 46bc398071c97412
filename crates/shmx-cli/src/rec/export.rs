//! A stream of a recording as a table (CSV) or an array (NumPy's NPY).

use super::options::Rec;
use crate::common::say;
use crate::escape::safe;
use crate::exit;
use crate::json;
use crate::recording::{self, Line};
use crate::stop;
use crate::values;
use anyhow::{Context, bail};
use serde_json::Value;
use shmx::abi::frame::Streams;
use shmx::{ElementType, StreamInfo};
use shmx_record::{Cursor, Item, Recording};
use std::io::{BufWriter, Write};

/// The stream and where it is.
struct Chosen {
    region: usize,
    /// As its first segment describes it.
    info: StreamInfo,
    /// Times of the part that is wanted.
    window: (u64, u64),
}

pub(super) fn run(a: &Rec, stream: &str, array: bool) -> anyhow::Result<()> {
    let recording = a.files.open()?;
    let chosen = choose(a, stream, &recording)?;
    if !a.overwrite && a.output.is_file() {
        bail!("`{}` exists; add --overwrite to replace it", a.output.display());
    }
    let mut cursor = Cursor::new(recording);
    let mut frames = 0;
    // No wider than the recording, which is no wider than the region.
    let mode = mode(a);
    crate::target::write(&a.output, mode, |file| {
        let mut out = BufWriter::new(file);
        if array {
            let shape = shape(&mut cursor, &chosen)?;
            out.write_all(&npy_head(chosen.info.element_type(), &shape)?)?;
            // The cursor is at the end.
            cursor.seek(0);
        } else {
            writeln!(out, "{}", heading(&chosen.info))?;
        }
        let mut line = Line::new(None);
        frames = each(&mut cursor, &chosen, |at, data| {
            if at.number.is_multiple_of(256) {
                line.show(format!("{} frames written", at.number), 0);
            }
            if array { Ok(out.write_all(data)?) } else { rows(&mut out, &chosen.info, &at, data) }
        })?;
        Ok(out.flush()?)
    })?;
    if stop::requested() {
        return Err(exit::interrupted("the recording was not read to its end"));
    }
    say(format_args!("{frames} frames of `{}` written to `{}`", safe(stream), a.output.display()));
    if a.json {
        let what = serde_json::json!({"frames": frames, "stream": stream, "file": a.output.display().to_string()});
        json::print("export", what)?;
    }
    recording::judge(cursor.recording().problems())
}

#[cfg(unix)]
fn mode(a: &Rec) -> u32 {
    use std::os::unix::fs::PermissionsExt;
    let modes = a.files.files.iter().map(|f| f.metadata().map_or(0o600, |m| m.permissions().mode()));
    modes.fold(0o666, |all, m| all & m)
}

#[cfg(not(unix))]
const fn mode(_: &Rec) -> u32 {
    0o600
}

fn choose(a: &Rec, stream: &str, recording: &Recording) -> anyhow::Result<Chosen> {
    let names = recording.regions();
    let region = match a.regions.as_slice() {
        [] if names.len() == 1 => 0,
        [one] => names.iter().position(|n| n == one).with_context(|| {
            format!("the recording has no region `{}`; it has: {}", safe(one), safe(&names.join(", ")))
        })?,
        _ => bail!(
            "a table or an array holds a stream of one region; choose it by --region: {}",
            safe(&names.join(", "))
        ),
    };
    let segments = recording.segments();
    let of_region = || segments.iter().filter(|s| s.segment.region == names[region]);
    let named = |s: &&StreamInfo| s.name_lossy() == stream || stream.parse() == Ok(s.id);
    let Some(info) = of_region().flat_map(|s| &s.directory.streams).find(named).cloned() else {
        let has: Vec<_> = of_region().flat_map(|s| &s.directory.streams).map(|s| s.name_lossy()).collect();
        bail!("region `{}` has no stream `{}`; it has: {}", safe(&names[region]), safe(stream), safe(&has.join(", ")));
    };
    let whole = info.element_type().map(|ty| u64::from(ty.size()) * u64::from(info.components));
    if whole != Some(u64::from(info.bytes_per_elem)) || info.bytes_per_elem == 0 {
        bail!("stream `{}` has no elements of a known type", safe(stream));
    }
    let first = recording.times().map_or(0, |t| t.0);
    let at = |d: std::time::Duration| first.saturating_add(u64::try_from(d.as_nanos()).unwrap_or(u64::MAX));
    Ok(Chosen { region, info, window: (at(a.from), a.to.map_or(u64::MAX, at)) })
}

/// Where a frame is.
struct At {
    number: u64,
    frame_id: u64,
    time: u64,
    sim_time: f64,
}

/// Hands on the stream of each frame that has it.
fn each(
    cursor: &mut Cursor,
    chosen: &Chosen,
    mut with: impl FnMut(At, &[u8]) -> anyhow::Result<()>,
) -> anyhow::Result<u64> {
    let mut number = 0;
    while let Some(item) = cursor.next_item() {
        if stop::requested() {
            break;
        }
        let Item::Frame(f) = item else { continue };
        if f.region != chosen.region || !(chosen.window.0..=chosen.window.1).contains(&f.time) {
            continue;
        }
        let mut streams = Streams::new(f.payload()).map_while(Result::ok);
        let Some(s) = streams.find(|s| s.stream_id == chosen.info.id) else { continue };
        if !s.data.len().is_multiple_of(chosen.info.bytes_per_elem as usize) {
            bail!("frame {} does not hold whole elements of the stream", f.head.frame_id);
        }
        let at = At { number, frame_id: f.head.frame_id, time: f.time, sim_time: f.head.sim_time() };
        with(at, s.data)?;
        number += 1;
    }
    Ok(number)
}

fn heading(info: &StreamInfo) -> String {
    let name = quoted(&info.name_lossy());
    let columns: Vec<String> = match info.components {
        1 => vec![name],
        n => (0..n).map(|c| quoted(&format!("{}[{c}]", info.name_lossy()))).collect(),
    };
    format!("frame_id,time_ns,sim_time,element,{}", columns.join(","))
}

/// A field of a table.
fn quoted(text: &str) -> String {
    let plain = !text.contains(['"', ',', '\n', '\r']);
    if plain { text.to_owned() } else { format!("\"{}\"", text.replace('"', "\"\"")) }
}

/// A line for each element.
fn rows(out: &mut impl Write, info: &StreamInfo, at: &At, data: &[u8]) -> anyhow::Result<()> {
    let Value::Array(elements) = values::decode(Some(info), data, usize::MAX) else { return Ok(()) };
    for (n, element) in elements.iter().enumerate() {
        write!(out, "{},{},{},{n}", at.frame_id, at.time, at.sim_time)?;
        let components = match element {
            Value::Array(all) => all.as_slice(),
            one => std::slice::from_ref(one),
        };
        for c in components {
            match c {
                // What JSON has no number for: nan, inf.
                Value::String(s) => write!(out, ",{}", quoted(s))?,
                c => write!(out, ",{c}")?,
            }
        }
        writeln!(out)?;
    }
    Ok(())
}

/// Frames, elements if there are several, components if there are several.
fn shape(cursor: &mut Cursor, chosen: &Chosen) -> anyhow::Result<Vec<u64>> {
    let mut elements = None;
    let frames = each(cursor, chosen, |at, data| {
        let n = data.len() as u64 / u64::from(chosen.info.bytes_per_elem);
        let first = *elements.get_or_insert(n);
        if n != first {
            bail!(
                "frame {} has {n} elements and those before have {first}; an array needs one size: use .csv",
                at.frame_id
            );
        }
        Ok(())
    })?;
    let mut shape = vec![frames];
    shape.extend(elements.filter(|&n| n != 1));
    shape.extend((chosen.info.components > 1).then_some(u64::from(chosen.info.components)));
    Ok(shape)
}

/// The head of an array file, version 1.0.
fn npy_head(ty: Option<ElementType>, shape: &[u64]) -> anyhow::Result<Vec<u8>> {
    let order = if cfg!(target_endian = "big") { '>' } else { '<' };
    let kind = match ty {
        Some(ElementType::Bool) => "|b1".to_owned(),
        Some(ElementType::U8) => "|u1".to_owned(),
        Some(ElementType::I8) => "|i1".to_owned(),
        Some(ElementType::U16) => format!("{order}u2"),
        Some(ElementType::I16) => format!("{order}i2"),
        Some(ElementType::U32) => format!("{order}u4"),
        Some(ElementType::I32) => format!("{order}i4"),
        Some(ElementType::U64) => format!("{order}u8"),
        Some(ElementType::I64) => format!("{order}i8"),
        Some(ElementType::F16) => format!("{order}f2"),
        // NumPy has no such type; its bits are kept.
        Some(ElementType::Bf16) => format!("{order}u2"),
        Some(ElementType::F32) => format!("{order}f4"),
        Some(ElementType::F64) => format!("{order}f8"),
        _ => bail!("the stream's type has none like it in NumPy; use .csv"),
    };
    let list: String = shape.iter().map(|n| format!("{n}, ")).collect();
    let mut text = format!("{{'descr': '{kind}', 'fortran_order': False, 'shape': ({}), }}", list.trim_end());
    // The data begins at a multiple of 64; the text ends with the line.
    let pad = (64 - (10 + text.len() + 1) % 64) % 64;
    text.push_str(&" ".repeat(pad));
    text.push('\n');
    let mut head = b"\x93NUMPY\x01\x00".to_vec();
    head.extend_from_slice(&u16::try_from(text.len()).context("too many dimensions")?.to_le_bytes());
    head.extend_from_slice(text.as_bytes());
    Ok(head)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_array_says_its_type_and_shape() {
        let head = npy_head(Some(ElementType::F32), &[3, 2, 4]).unwrap();
        let text = String::from_utf8_lossy(&head[10..]);
        assert!(text.starts_with("{'descr': '<f4', 'fortran_order': False, 'shape': (3, 2, 4,), }"), "{text}");
        assert!(head.len().is_multiple_of(64) && head.ends_with(b"\n"));
        assert_eq!(usize::from(u16::from_le_bytes([head[8], head[9]])), head.len() - 10);
        assert!(npy_head(Some(ElementType::U64), &[0]).unwrap().len().is_multiple_of(64));
        assert!(npy_head(None, &[1]).is_err());
        assert_eq!([quoted("a"), quoted("a,\"b\"")], ["a", "\"a,\"\"b\"\"\""]);
    }
}
