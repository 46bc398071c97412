//! A stream as arrays of NumPy: one in an NPY file, or with ids and times in an NPZ file.

use super::select::Chosen;
use crate::units;
use anyhow::{Context, bail};
use crc32fast::Hasher;
use shmx::ElementType;
use shmx_record::Cursor;
use std::io::Write;

/// The stream's array alone.
pub(super) fn npy(cursor: &mut Cursor, chosen: &Chosen, out: &mut dyn Write) -> anyhow::Result<u64> {
    let found = Found::of(cursor, chosen)?;
    out.write_all(&head(descr(chosen.ty)?, &found.shape)?)?;
    let frames = chosen.each(cursor, |_, data| Ok(out.write_all(data)?))?;
    found.is_all(frames)
}

/// The stream's array under its name, and `frame_id`, `time_ns` and `sim_time` of its frames.
pub(super) fn npz(cursor: &mut Cursor, chosen: &Chosen, out: &mut dyn Write) -> anyhow::Result<u64> {
    let found = Found::of(cursor, chosen)?;
    let name = chosen.info.name_lossy();
    let plain: String = name.chars().map(|c| if matches!(c, '/' | '\\') || c.is_control() { '_' } else { c }).collect();
    let taken = ["", "frame_id", "time_ns", "sim_time"].contains(&&*plain);
    let name = if taken { format!("stream_{}", chosen.info.id) } else { plain };
    let mut archive = Archive { out, at: 0, entries: Vec::new() };
    let order = if cfg!(target_endian = "big") { '>' } else { '<' };
    let rows = [found.frames()];
    for (name, kind, numbers) in
        [("frame_id", "u8", &found.ids), ("time_ns", "u8", &found.times), ("sim_time", "f8", &found.sims)]
    {
        let mut member = head(format!("{order}{kind}"), &rows)?;
        member.extend(numbers.iter().flat_map(|n| n.to_ne_bytes()));
        archive.begin(name, crc32fast::hash(&member), member.len() as u64)?;
        archive.write(&member)?;
    }
    let head = head(descr(chosen.ty)?, &found.shape)?;
    let mut crc = Hasher::new();
    crc.update(&head);
    crc.combine(&found.crc);
    archive.begin(&name, crc.finalize(), head.len() as u64 + found.bytes)?;
    archive.write(&head)?;
    let frames = chosen.each(cursor, |_, data| archive.write(data))?;
    archive.finish()?;
    found.is_all(frames)
}

/// What has to be known before an array is written.
struct Found {
    /// Frames, elements if there are several, components if there are several.
    shape: Vec<u64>,
    ids: Vec<u64>,
    times: Vec<u64>,
    /// Their bits.
    sims: Vec<u64>,
    bytes: u64,
    crc: Hasher,
}

impl Found {
    fn of(cursor: &mut Cursor, chosen: &Chosen) -> anyhow::Result<Self> {
        let mut elements = None;
        let mut found = Self {
            shape: Vec::new(),
            ids: Vec::new(),
            times: Vec::new(),
            sims: Vec::new(),
            bytes: 0,
            crc: Hasher::new(),
        };
        let frames = chosen.each(cursor, |at, data| {
            let n = data.len() as u64 / u64::from(chosen.info.bytes_per_elem);
            let first = *elements.get_or_insert(n);
            if n != first {
                let id = at.frame_id;
                let n = units::count(n, "element");
                bail!("frame {id} has {n} and those before have {first}; an array needs one size: use .csv");
            }
            found.ids.push(at.frame_id);
            found.times.push(at.time);
            found.sims.push(at.sim_time.to_bits());
            found.bytes += data.len() as u64;
            found.crc.update(data);
            Ok(())
        })?;
        found.shape.push(frames);
        found.shape.extend(elements.filter(|&n| n != 1));
        found.shape.extend((chosen.info.components > 1).then_some(u64::from(chosen.info.components)));
        Ok(found)
    }

    fn frames(&self) -> u64 {
        self.ids.len() as u64
    }

    /// The second reading must find what the first one did: the head has said how much it is.
    fn is_all(&self, frames: u64) -> anyhow::Result<u64> {
        if frames != self.frames() {
            bail!("the recording has changed while it was read; try again");
        }
        Ok(frames)
    }
}

/// NumPy's word for an element.
fn descr(ty: ElementType) -> anyhow::Result<String> {
    let order = if cfg!(target_endian = "big") { '>' } else { '<' };
    Ok(match ty {
        ElementType::Bool => "|b1".to_owned(),
        ElementType::U8 => "|u1".to_owned(),
        ElementType::I8 => "|i1".to_owned(),
        // NumPy has no bf16; its bits are kept.
        ElementType::U16 | ElementType::Bf16 => format!("{order}u2"),
        ElementType::I16 => format!("{order}i2"),
        ElementType::U32 => format!("{order}u4"),
        ElementType::I32 => format!("{order}i4"),
        ElementType::U64 => format!("{order}u8"),
        ElementType::I64 => format!("{order}i8"),
        ElementType::F16 => format!("{order}f2"),
        ElementType::F32 => format!("{order}f4"),
        ElementType::F64 => format!("{order}f8"),
        _ => bail!("the stream's type has none like it in NumPy; use .csv"),
    })
}

/// The head of an array file, version 1.0.
fn head(descr: String, shape: &[u64]) -> anyhow::Result<Vec<u8>> {
    let list: String = shape.iter().map(|n| format!("{n}, ")).collect();
    let mut text = format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': ({}), }}", list.trim_end());
    // The data begins at a multiple of 64; the text ends with the line.
    let pad = (64 - (10 + text.len() + 1) % 64) % 64;
    text.push_str(&" ".repeat(pad));
    text.push('\n');
    let mut head = b"\x93NUMPY\x01\x00".to_vec();
    head.extend_from_slice(&u16::try_from(text.len()).context("too many dimensions")?.to_le_bytes());
    head.extend_from_slice(text.as_bytes());
    Ok(head)
}

/// A ZIP archive of members that are not compressed. Sizes are always those of 64 bits, which readers of this decade
/// know.
struct Archive<'a> {
    out: &'a mut dyn Write,
    at: u64,
    /// Name, checksum, length, place.
    entries: Vec<(String, u32, u64, u64)>,
}

/// Of formats that have sizes of 64 bits.
const VERSION: u16 = 45;
/// Names are UTF-8.
const FLAGS: u16 = 1 << 11;
/// The first of January 1980, the earliest date there is.
const DATE: u16 = 1 << 5 | 1;
const MORE: u32 = u32::MAX;

impl Archive<'_> {
    fn write(&mut self, bytes: &[u8]) -> anyhow::Result<()> {
        self.at += bytes.len() as u64;
        Ok(self.out.write_all(bytes)?)
    }

    /// Begins a member whose bytes follow.
    fn begin(&mut self, name: &str, crc: u32, len: u64) -> anyhow::Result<()> {
        let name = format!("{name}.npy");
        let mut head = b"PK\x03\x04".to_vec();
        common(&mut head, crc, name.len(), 20);
        head.extend_from_slice(name.as_bytes());
        sizes(&mut head, &[len, len]);
        self.entries.push((name, crc, len, self.at));
        self.write(&head)
    }

    fn finish(mut self) -> anyhow::Result<()> {
        let (begin, count) = (self.at, self.entries.len() as u64);
        for (name, crc, len, at) in std::mem::take(&mut self.entries) {
            let mut entry = b"PK\x01\x02".to_vec();
            entry.extend_from_slice(&VERSION.to_le_bytes());
            common(&mut entry, crc, name.len(), 28);
            // Comment, disk, attributes.
            entry.extend_from_slice(&[0; 10]);
            entry.extend_from_slice(&MORE.to_le_bytes());
            entry.extend_from_slice(name.as_bytes());
            sizes(&mut entry, &[len, len, at]);
            self.write(&entry)?;
        }
        let (len, end) = (self.at - begin, self.at);
        let mut tail = b"PK\x06\x06".to_vec();
        tail.extend_from_slice(&44_u64.to_le_bytes());
        tail.extend_from_slice(&VERSION.to_le_bytes());
        tail.extend_from_slice(&VERSION.to_le_bytes());
        tail.extend_from_slice(&[0; 8]);
        for n in [count, count, len, begin] {
            tail.extend_from_slice(&n.to_le_bytes());
        }
        tail.extend_from_slice(b"PK\x06\x07\0\0\0\0");
        tail.extend_from_slice(&end.to_le_bytes());
        tail.extend_from_slice(&1_u32.to_le_bytes());
        tail.extend_from_slice(b"PK\x05\x06\0\0\0\0");
        tail.extend_from_slice(&[0xFF; 12]);
        tail.extend_from_slice(&[0; 2]);
        self.write(&tail)
    }
}

/// What the head of a member and its entry at the end have in common.
fn common(head: &mut Vec<u8>, crc: u32, name: usize, more: u16) {
    for n in [VERSION, FLAGS, 0, 0, DATE] {
        head.extend_from_slice(&n.to_le_bytes());
    }
    for n in [crc, MORE, MORE] {
        head.extend_from_slice(&n.to_le_bytes());
    }
    for n in [u16::try_from(name).unwrap_or(u16::MAX), more] {
        head.extend_from_slice(&n.to_le_bytes());
    }
}

/// Sizes of 64 bits.
fn sizes(head: &mut Vec<u8>, sizes: &[u64]) {
    head.extend_from_slice(&1_u16.to_le_bytes());
    head.extend_from_slice(&(8 * sizes.len() as u16).to_le_bytes());
    sizes.iter().for_each(|n| head.extend_from_slice(&n.to_le_bytes()));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_array_says_its_type_and_shape() {
        let head_of = |ty, shape: &[u64]| head(descr(ty).unwrap(), shape).unwrap();
        let head = head_of(ElementType::F32, &[3, 2, 4]);
        let text = String::from_utf8_lossy(&head[10..]);
        assert!(text.starts_with("{'descr': '<f4', 'fortran_order': False, 'shape': (3, 2, 4,), }"), "{text}");
        assert!(head.len().is_multiple_of(64) && head.ends_with(b"\n"));
        assert_eq!(usize::from(u16::from_le_bytes([head[8], head[9]])), head.len() - 10);
        assert!(head_of(ElementType::U64, &[0]).len().is_multiple_of(64));
    }
}
