//! A stream as a table in a Parquet file: a row for each element, a column for each component. Plain pages without
//! compression, which every reader of the format knows.

use super::select::{At, Chosen};
use anyhow::bail;
use shmx::ElementType;
use shmx_record::Cursor;
use std::io::Write;

/// Bytes of a group, about: what is held in memory.
const GROUP: usize = 32 << 20;

pub(super) fn parquet(cursor: &mut Cursor, chosen: &Chosen, out: &mut dyn Write) -> anyhow::Result<u64> {
    let kind = Kind::of(chosen.ty)?;
    let mut table = Table::new(out)?;
    table.add("frame_id", Kind { physical: INT64, meaning: Meaning::Converted(UINT_64) });
    table.add("time", Kind { physical: INT64, meaning: Meaning::Nanoseconds });
    table.add("sim_time", Kind { physical: DOUBLE, meaning: Meaning::None });
    table.add("element", Kind { physical: INT32, meaning: Meaning::Converted(UINT_32) });
    for mut name in chosen.columns() {
        // A name must be the only one of its kind.
        while table.columns.iter().any(|c| c.name == name) {
            name.push('_');
        }
        table.add(&name, kind);
    }
    let frames = chosen.each(cursor, |at, data| table.frame(chosen, at, data))?;
    table.finish()?;
    Ok(frames)
}

const BOOLEAN: i32 = 0;
const INT32: i32 = 1;
const INT64: i32 = 2;
const FLOAT: i32 = 4;
const DOUBLE: i32 = 5;
const UINT_8: i32 = 11;
const UINT_16: i32 = 12;
const UINT_32: i32 = 13;
const UINT_64: i32 = 14;
const INT_8: i32 = 15;
const INT_16: i32 = 16;

/// What a column's numbers are beyond their bits.
#[derive(Clone, Copy)]
enum Meaning {
    None,
    Converted(i32),
    /// Since 1970, UTC.
    Nanoseconds,
}

#[derive(Clone, Copy)]
struct Kind {
    physical: i32,
    meaning: Meaning,
}

impl Kind {
    fn of(ty: ElementType) -> anyhow::Result<Self> {
        let (physical, converted) = match ty {
            ElementType::Bool => (BOOLEAN, None),
            ElementType::I8 => (INT32, Some(INT_8)),
            ElementType::U8 => (INT32, Some(UINT_8)),
            ElementType::I16 => (INT32, Some(INT_16)),
            ElementType::U16 => (INT32, Some(UINT_16)),
            ElementType::I32 => (INT32, None),
            ElementType::U32 => (INT32, Some(UINT_32)),
            ElementType::I64 => (INT64, None),
            ElementType::U64 => (INT64, Some(UINT_64)),
            ElementType::F16 | ElementType::Bf16 | ElementType::F32 => (FLOAT, None),
            ElementType::F64 => (DOUBLE, None),
            _ => bail!("the stream's type has none like it in Parquet; use .csv"),
        };
        Ok(Self { physical, meaning: converted.map_or(Meaning::None, Meaning::Converted) })
    }
}

struct Column {
    name: String,
    kind: Kind,
    /// Plain values of the group that is being gathered; a byte each for truth values.
    values: Vec<u8>,
}

/// A column of a group that is written: where, how long, and its values.
struct Chunk {
    at: u64,
    bytes: u64,
    values: u64,
}

struct Table<'a> {
    out: &'a mut dyn Write,
    at: u64,
    columns: Vec<Column>,
    rows: usize,
    all_rows: u64,
    groups: Vec<(u64, Vec<Chunk>)>,
}

/// One component as the bytes of its column.
fn plain(ty: ElementType, b: &[u8], to: &mut Vec<u8>) {
    let pair = || [b[0], b[1]];
    match ty {
        ElementType::Bool => to.push(u8::from(b[0] != 0)),
        ElementType::I8 => to.extend_from_slice(&i32::from(b[0] as i8).to_le_bytes()),
        ElementType::U8 => to.extend_from_slice(&i32::from(b[0]).to_le_bytes()),
        ElementType::I16 => to.extend_from_slice(&i32::from(i16::from_le_bytes(pair())).to_le_bytes()),
        ElementType::U16 => to.extend_from_slice(&i32::from(u16::from_le_bytes(pair())).to_le_bytes()),
        ElementType::F16 => to.extend_from_slice(&shmx::f16::from_le_bytes(pair()).to_f32().to_le_bytes()),
        ElementType::Bf16 => to.extend_from_slice(&shmx::bf16::from_le_bytes(pair()).to_f32().to_le_bytes()),
        _ => to.extend_from_slice(b),
    }
}

impl<'a> Table<'a> {
    fn new(out: &'a mut dyn Write) -> anyhow::Result<Self> {
        out.write_all(b"PAR1")?;
        Ok(Self { out, at: 4, columns: Vec::new(), rows: 0, all_rows: 0, groups: Vec::new() })
    }

    fn add(&mut self, name: &str, kind: Kind) {
        self.columns.push(Column { name: name.to_owned(), kind, values: Vec::new() });
    }

    fn frame(&mut self, chosen: &Chosen, at: &At, data: &[u8]) -> anyhow::Result<()> {
        let size = chosen.ty.size() as usize;
        for (n, element) in data.chunks_exact(chosen.info.bytes_per_elem as usize).enumerate() {
            let (head, own) = self.columns.split_at_mut(4);
            head[0].values.extend_from_slice(&at.frame_id.to_le_bytes());
            head[1].values.extend_from_slice(&at.time.to_le_bytes());
            head[2].values.extend_from_slice(&at.sim_time.to_le_bytes());
            head[3].values.extend_from_slice(&(n as u32).to_le_bytes());
            for (column, component) in own.iter_mut().zip(element.chunks_exact(size)) {
                plain(chosen.ty, component, &mut column.values);
            }
            self.rows += 1;
            if self.columns.iter().map(|c| c.values.len()).sum::<usize>() >= GROUP {
                self.group()?;
            }
        }
        Ok(())
    }

    /// Writes what was gathered.
    fn group(&mut self) -> anyhow::Result<()> {
        let rows = std::mem::take(&mut self.rows) as u64;
        if rows == 0 {
            return Ok(());
        }
        let mut chunks = Vec::new();
        for column in &mut self.columns {
            let mut page = std::mem::take(&mut column.values);
            if column.kind.physical == BOOLEAN {
                // A bit each, the lowest first.
                let bits = |eight: &[u8]| eight.iter().enumerate().fold(0, |all, (i, b)| all | b << i);
                page = page.chunks(8).map(bits).collect();
            }
            let mut head = Thrift::default();
            head.int(1, 0).int(2, page.len() as i64).int(3, page.len() as i64);
            // Plain; levels would be run lengths, and there are none as no value is missing.
            head.structure(5, |t| _ = t.int(1, rows as i64).int(2, 0).int(3, 3).int(4, 3));
            let head = head.end();
            let bytes = (head.len() + page.len()) as u64;
            self.out.write_all(&head)?;
            self.out.write_all(&page)?;
            chunks.push(Chunk { at: self.at, bytes, values: rows });
            self.at += bytes;
            page.clear();
            column.values = page;
        }
        self.all_rows += rows;
        self.groups.push((rows, chunks));
        Ok(())
    }

    fn finish(mut self) -> anyhow::Result<()> {
        self.group()?;
        let mut t = Thrift::default();
        t.int(1, 1);
        t.list(2, STRUCT, self.columns.len() + 1);
        t.element(|t| _ = t.text(4, "schema").int(5, self.columns.len() as i64));
        for c in &self.columns {
            t.element(|t| {
                t.int(1, c.kind.physical.into()).int(3, 0).text(4, &c.name);
                match c.kind.meaning {
                    Meaning::None => {}
                    Meaning::Converted(code) => _ = t.int(6, code.into()),
                    // Of the logical types the timestamp, in UTC, and of its units the nanosecond.
                    Meaning::Nanoseconds => t.structure(10, |t| {
                        t.structure(8, |t| {
                            t.yes(1);
                            t.structure(2, |t| t.structure(3, |_| {}));
                        });
                    }),
                }
            });
        }
        t.long(3, self.all_rows);
        t.list(4, STRUCT, self.groups.len());
        for (rows, chunks) in &self.groups {
            t.element(|t| {
                t.list(1, STRUCT, chunks.len());
                for (c, column) in chunks.iter().zip(&self.columns) {
                    t.element(|t| {
                        t.long(2, c.at);
                        t.structure(3, |t| {
                            t.int(1, column.kind.physical.into());
                            t.list(2, I32, 1);
                            t.number(0);
                            t.list(3, BINARY, 1);
                            t.bytes(column.name.as_bytes());
                            t.int(4, 0).long(5, c.values).long(6, c.bytes).long(7, c.bytes).long(9, c.at);
                        });
                    });
                }
                t.long(2, chunks.iter().map(|c| c.bytes).sum()).long(3, *rows);
            });
        }
        t.text(6, concat!("shmx version ", env!("CARGO_PKG_VERSION")));
        let footer = t.end();
        self.out.write_all(&footer)?;
        self.out.write_all(&u32::try_from(footer.len())?.to_le_bytes())?;
        Ok(self.out.write_all(b"PAR1")?)
    }
}

const YES: u8 = 1;
const I32: u8 = 5;
const I64: u8 = 6;
const BINARY: u8 = 8;
const LIST: u8 = 9;
const STRUCT: u8 = 12;

/// Thrift's compact protocol, as far as it is needed.
#[derive(Default)]
struct Thrift {
    out: Vec<u8>,
    /// Of the structure that is open.
    last: i16,
}

impl Thrift {
    fn varint(&mut self, mut n: u64) {
        while n >= 0x80 {
            self.out.push(n as u8 | 0x80);
            n >>= 7;
        }
        self.out.push(n as u8);
    }

    fn number(&mut self, n: i64) {
        self.varint((n << 1 ^ n >> 63) as u64);
    }

    /// Fields come in rising order, at most 15 apart.
    fn field(&mut self, id: i16, kind: u8) {
        self.out.push(((id - self.last) as u8) << 4 | kind);
        self.last = id;
    }

    fn int(&mut self, id: i16, n: i64) -> &mut Self {
        self.field(id, I32);
        self.number(n);
        self
    }

    fn long(&mut self, id: i16, n: u64) -> &mut Self {
        self.field(id, I64);
        self.number(n as i64);
        self
    }

    fn yes(&mut self, id: i16) {
        self.field(id, YES);
    }

    fn bytes(&mut self, bytes: &[u8]) {
        self.varint(bytes.len() as u64);
        self.out.extend_from_slice(bytes);
    }

    fn text(&mut self, id: i16, text: &str) -> &mut Self {
        self.field(id, BINARY);
        self.bytes(text.as_bytes());
        self
    }

    fn list(&mut self, id: i16, kind: u8, len: usize) {
        self.field(id, LIST);
        if len < 15 {
            self.out.push((len as u8) << 4 | kind);
        } else {
            self.out.push(0xF0 | kind);
            self.varint(len as u64);
        }
    }

    /// An element of a list of structures.
    fn element(&mut self, fill: impl FnOnce(&mut Self)) {
        let outer = std::mem::take(&mut self.last);
        fill(self);
        self.out.push(0);
        self.last = outer;
    }

    fn structure(&mut self, id: i16, fill: impl FnOnce(&mut Self)) {
        self.field(id, STRUCT);
        self.element(fill);
    }

    fn end(mut self) -> Vec<u8> {
        self.out.push(0);
        self.out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_the_compact_protocol_are_short() {
        let mut t = Thrift::default();
        for n in [0, -1, 1, -64, 64, i64::MAX, i64::MIN] {
            t.number(n);
        }
        let long = |last| [&[if last { 0xFF } else { 0xFE }][..], &[0xFF; 8], &[1]].concat();
        assert_eq!(t.out, [&[0, 1, 2, 127, 0x80, 1][..], &long(false), &long(true)].concat());
    }
}
