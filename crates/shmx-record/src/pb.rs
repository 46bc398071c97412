//! The few parts of the protobuf encoding that the messages of a recording need.
//!
//! Written by hand because payloads of many megabytes go straight from the frame to the message here.

/// Appends fields to a message.
#[derive(Debug)]
pub(crate) struct Writer<'a>(pub(crate) &'a mut Vec<u8>);

const FIXED64: u32 = 1;
const LENGTH: u32 = 2;
const FIXED32: u32 = 5;

impl Writer<'_> {
    fn varint(&mut self, mut v: u64) {
        while v >= 0x80 {
            self.0.push(v as u8 | 0x80);
            v >>= 7;
        }
        self.0.push(v as u8);
    }

    fn tag(&mut self, field: u32, wire: u32) {
        self.varint(u64::from(field << 3 | wire));
    }

    pub(crate) fn fixed64(&mut self, field: u32, v: u64) {
        self.tag(field, FIXED64);
        self.0.extend_from_slice(&v.to_le_bytes());
    }

    pub(crate) fn fixed32(&mut self, field: u32, v: u32) {
        self.tag(field, FIXED32);
        self.0.extend_from_slice(&v.to_le_bytes());
    }

    /// A `uint32`, `uint64` or enum field.
    pub(crate) fn uint(&mut self, field: u32, v: u64) {
        self.tag(field, 0);
        self.varint(v);
    }

    /// A `bytes`, `string`, message or packed field.
    pub(crate) fn bytes(&mut self, field: u32, v: &[u8]) {
        self.length(field, v.len());
        self.0.extend_from_slice(v);
    }

    /// The head of a field whose `len` bytes the caller appends.
    pub(crate) fn length(&mut self, field: u32, len: usize) {
        self.tag(field, LENGTH);
        self.varint(len as u64);
    }
}

/// A field's value as it lies in a message.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Value<'a> {
    Varint(u64),
    Fixed64(u64),
    Fixed32(u32),
    Bytes(&'a [u8]),
}

/// Walks over the fields of a message; ends with an error where it is damaged.
#[derive(Debug)]
pub(crate) struct Reader<'a>(pub(crate) &'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, n: usize) -> Option<&'a [u8]> {
        let (head, rest) = self.0.split_at_checked(n)?;
        self.0 = rest;
        Some(head)
    }

    fn varint(&mut self) -> Option<u64> {
        let mut v = 0_u64;
        for shift in (0..70).step_by(7) {
            let b = self.take(1)?[0];
            v |= u64::from(b & 0x7F).checked_shl(shift).unwrap_or(0);
            if b < 0x80 {
                return Some(v);
            }
        }
        None
    }

    fn field(&mut self) -> Option<(u32, Value<'a>)> {
        let key = self.varint()?;
        let value = match key & 7 {
            0 => Value::Varint(self.varint()?),
            1 => Value::Fixed64(u64::from_le_bytes(self.take(8)?.try_into().ok()?)),
            2 => {
                let len = usize::try_from(self.varint()?).ok()?;
                Value::Bytes(self.take(len)?)
            }
            5 => Value::Fixed32(u32::from_le_bytes(self.take(4)?.try_into().ok()?)),
            _ => return None,
        };
        Some((u32::try_from(key >> 3).ok()?, value))
    }
}

/// The message is not one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Damaged;

impl<'a> Iterator for Reader<'a> {
    type Item = Result<(u32, Value<'a>), Damaged>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let field = self.field();
        if field.is_none() {
            self.0 = &[];
        }
        Some(field.ok_or(Damaged))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_read_back() {
        let mut buf = Vec::new();
        let mut w = Writer(&mut buf);
        w.uint(1, 300);
        w.fixed64(2, u64::MAX);
        w.fixed32(3, 7);
        w.bytes(15, b"abc");
        w.uint(16, u64::MAX);
        let fields: Vec<_> = Reader(&buf).map(Result::unwrap).collect();
        assert_eq!(
            fields,
            [
                (1, Value::Varint(300)),
                (2, Value::Fixed64(u64::MAX)),
                (3, Value::Fixed32(7)),
                (15, Value::Bytes(b"abc")),
                (16, Value::Varint(u64::MAX)),
            ]
        );
    }

    #[test]
    fn damage_ends_the_walk() {
        for bad in [&[0x80][..], &[0x12, 0x05, 1], &[0x0B], &[0x09, 1, 2], &[0xFF; 12]] {
            let mut r = Reader(bad);
            assert_eq!(r.next(), Some(Err(Damaged)), "{bad:?}");
            assert_eq!(r.next(), None);
        }
    }
}
