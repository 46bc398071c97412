//! Numbers of streams as numbers of messages.

use crate::descriptor::Type;
use crate::pb::Writer;
use shmx::{ElementType, bf16, f16};

/// A type of numbers that messages can hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Number(ElementType);

impl Number {
    /// The numbers of a stream of this type; none for types of the future.
    pub(crate) fn of(ty: ElementType) -> Option<Self> {
        use ElementType::{Bf16, Bool, F16, F32, F64, I8, I16, I32, I64, U8, U16, U32, U64};
        matches!(ty, Bf16 | Bool | F16 | F32 | F64 | I8 | I16 | I32 | I64 | U8 | U16 | U32 | U64).then_some(Self(ty))
    }

    /// Bytes of one in the stream.
    pub(crate) const fn size(self) -> usize {
        self.0.size() as usize
    }

    /// Bytes of one in a packed list.
    pub(crate) const fn width(self) -> usize {
        match self.0 {
            ElementType::Bool => 1,
            ElementType::F64 | ElementType::I64 | ElementType::U64 => 8,
            _ => 4,
        }
    }

    pub(crate) const fn proto(self) -> Type {
        match self.0 {
            ElementType::F32 | ElementType::F16 | ElementType::Bf16 => Type::Float,
            ElementType::F64 => Type::Double,
            ElementType::I8 | ElementType::I16 | ElementType::I32 => Type::Sfixed32,
            ElementType::I64 => Type::Sfixed64,
            ElementType::U64 => Type::Fixed64,
            ElementType::Bool => Type::Bool,
            _ => Type::Fixed32,
        }
    }

    /// The message for many of these.
    pub(crate) const fn list(self) -> &'static str {
        match self.proto() {
            Type::Float => "FloatValues",
            Type::Double => "DoubleValues",
            Type::Sfixed32 => "Int32Values",
            Type::Sfixed64 => "Int64Values",
            Type::Fixed64 => "Uint64Values",
            Type::Bool => "BoolValues",
            _ => "Uint32Values",
        }
    }

    /// Appends a single number as a field.
    pub(crate) fn append_one(self, field: u32, data: &[u8], out: &mut Vec<u8>) {
        let mut bytes = Vec::with_capacity(8);
        append(self, data, &mut bytes);
        let mut w = Writer(out);
        match (bytes.as_slice().try_into(), bytes.as_slice().try_into(), bytes.first()) {
            (Ok(b), _, _) => w.fixed64(field, u64::from_le_bytes(b)),
            (_, Ok(b), _) => w.fixed32(field, u32::from_le_bytes(b)),
            (_, _, Some(&b)) => w.uint(field, b.into()),
            _ => {}
        }
    }
}

/// Appends all numbers in the bytes of a stream, as a packed list has them.
pub(crate) fn append(ty: Number, data: &[u8], out: &mut Vec<u8>) {
    let le = cfg!(target_endian = "little");
    match ty.0 {
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
        _ if ty.width() == 8 => out.extend(each(data).flat_map(|b| u64::from_ne_bytes(b).to_le_bytes())),
        _ => out.extend(each(data).flat_map(|b| u32::from_ne_bytes(b).to_le_bytes())),
    }
}

/// Arrays of `N` bytes, one after the other.
pub(crate) fn each<const N: usize>(data: &[u8]) -> impl Iterator<Item = [u8; N]> {
    data.as_chunks::<N>().0.iter().copied()
}
