//! Streams as C describes them.

use crate::args::{Bytes, Text, Versioned};
use crate::status::{Fault, shmx_status};
use shmx::{ElementLayout, ElementType, StreamRef, StreamSpec};

/// Types of components. The numbers are those of the wire format.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum shmx_element {
    /// Any: not compared.
    Any = 0,
    /// One byte, 0 or 1.
    Bool = 1,
    /// 8-bit signed integer.
    I8 = 2,
    /// 8-bit unsigned integer.
    U8 = 3,
    /// 16-bit signed integer.
    I16 = 4,
    /// 16-bit unsigned integer.
    U16 = 5,
    /// 32-bit signed integer.
    I32 = 6,
    /// 32-bit unsigned integer.
    U32 = 7,
    /// 64-bit signed integer.
    I64 = 8,
    /// 64-bit unsigned integer.
    U64 = 9,
    /// IEEE 754 half precision.
    F16 = 10,
    /// bfloat16.
    Bf16 = 11,
    /// IEEE 754 single precision.
    F32 = 12,
    /// IEEE 754 double precision.
    F64 = 13,
}

/// How the components of an element lie.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum shmx_layout {
    /// As is usual for their number.
    Auto = 0,
    /// Scalars, one after the other.
    Scalars = 1,
    /// Whole vectors, one after the other.
    Vectors = 2,
}

/// A stream that a server declares.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct shmx_stream_spec {
    /// sizeof(shmx_stream_spec).
    pub size: usize,
    /// The stream's number, unique within the region.
    pub stream_id: u32,
    /// Type of a component: a `shmx_element`.
    pub element_type: u32,
    /// Components of an element; 0 means 1.
    pub components: u32,
    /// How they lie: a `shmx_layout`.
    pub layout: u32,
    /// Bytes of an element; 0 means what type and components give.
    pub bytes_per_elem: u32,
    /// Most elements in a frame; the capacity of frames follows from these.
    pub max_elems: u32,
    /// The name, UTF-8.
    pub name: Text,
    /// Application data: what the stream means, see docs/streams.md. May be null.
    pub extra: Bytes,
    /// Bytes of it.
    pub extra_bytes: usize,
}

// SAFETY: `repr(C)`, begins with a `usize`, integers and pointers only.
unsafe impl Versioned for shmx_stream_spec {
    const FIRST: usize = size_of::<Self>();
}

/// A stream as a program asks for it.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct shmx_stream {
    /// Its number. Readers look at it only where there is no name.
    pub stream_id: u32,
    /// Type of a component, a `shmx_element`; 0 means that it is not compared.
    pub element_type: u32,
    /// Components of one value; 0 means 1. Values of one component are a flat view of a stream of vectors.
    pub components: u32,
    /// 0.
    pub reserved: u32,
    /// Its name, or null: a producer compares it, a reader looks for it.
    pub name: Text,
}

/// Data for one stream of a frame.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct shmx_part {
    /// The stream, which is compared with the directory as far as it says something.
    pub stream: shmx_stream,
    /// Whole elements.
    pub data: Bytes,
    /// Bytes of it.
    pub bytes: usize,
}

#[inline]
pub(crate) fn element_type(code: u32, argument: &'static str) -> Result<ElementType, Fault> {
    // Codes follow each other from 1 on: no search for each frame.
    let found = ElementType::ALL.get((code as usize).wrapping_sub(1)).copied();
    found.ok_or_else(|| Fault::bad(argument, "has an unknown element type", "pass a SHMX_ELEMENT_..."))
}

/// So that it can mean something in a later version.
#[cold]
pub(crate) fn reserved(argument: &'static str) -> Fault {
    Fault::bad(argument, "has a `reserved` that is not 0", "set the whole struct to zero first")
}

impl shmx_stream {
    #[inline]
    pub(crate) fn asked(&self, argument: &'static str) -> Result<StreamRef<'_>, Fault> {
        if self.reserved != 0 {
            return Err(reserved(argument));
        }
        let element = match self.element_type {
            0 => None,
            code => Some((element_type(code, argument)?, self.components.max(1))),
        };
        Ok(StreamRef { id: self.stream_id, name: self.name.bytes(), element })
    }
}

impl shmx_stream_spec {
    pub(crate) fn spec(&self, argument: &'static str) -> Result<StreamSpec, Fault> {
        let ty = element_type(self.element_type, argument)?;
        let name = self.name.get(argument)?;
        let mut spec = StreamSpec::new(self.stream_id, name, ty, self.components.max(1));
        if self.bytes_per_elem != 0 {
            spec.bytes_per_elem = self.bytes_per_elem;
        }
        spec = spec.extra(self.extra.get(self.extra_bytes, argument)?);
        match self.layout {
            0 => {}
            1 => spec = spec.layout(ElementLayout::SoaScalar),
            2 => spec = spec.layout(ElementLayout::AosVector),
            _ => return Err(Fault::new(shmx_status::BadArgument, "unknown `layout`; pass a SHMX_LAYOUT_...")),
        }
        Ok(spec)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_those_of_the_format() {
        for code in 0..20 {
            assert_eq!(element_type(code, "x").ok(), ElementType::from_wire(code));
        }
        assert_eq!(shmx_element::Bool as u32, ElementType::Bool.to_wire());
        assert_eq!(shmx_element::F64 as u32, ElementType::F64.to_wire());
    }
}
