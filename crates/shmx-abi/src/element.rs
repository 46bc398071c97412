//! Element types, their layouts, and the Rust types that match them (wire-format.md, section 2).

use bytemuck::{CheckedBitPattern, NoUninit, Pod};

/// Scalar type of a stream's components.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u32)]
#[non_exhaustive]
pub enum ElementType {
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
    /// bfloat16: the upper half of a single-precision float.
    Bf16 = 11,
    /// IEEE 754 single precision.
    F32 = 12,
    /// IEEE 754 double precision.
    F64 = 13,
}

impl ElementType {
    /// All types in the order of their codes.
    pub const ALL: [Self; 13] = [
        Self::Bool,
        Self::I8,
        Self::U8,
        Self::I16,
        Self::U16,
        Self::I32,
        Self::U32,
        Self::I64,
        Self::U64,
        Self::F16,
        Self::Bf16,
        Self::F32,
        Self::F64,
    ];

    /// The type with this wire code.
    #[must_use]
    pub fn from_wire(code: u32) -> Option<Self> {
        Self::ALL.into_iter().find(|t| t.to_wire() == code)
    }

    /// The wire code.
    #[must_use]
    pub const fn to_wire(self) -> u32 {
        self as u32
    }

    /// Bytes of one component.
    #[must_use]
    pub const fn size(self) -> u32 {
        match self {
            Self::Bool | Self::I8 | Self::U8 => 1,
            Self::I16 | Self::U16 | Self::F16 | Self::Bf16 => 2,
            Self::I32 | Self::U32 | Self::F32 => 4,
            Self::I64 | Self::U64 | Self::F64 => 8,
        }
    }

    /// Lower-case name, as in `f32`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Bool => "bool",
            Self::I8 => "i8",
            Self::U8 => "u8",
            Self::I16 => "i16",
            Self::U16 => "u16",
            Self::I32 => "i32",
            Self::U32 => "u32",
            Self::I64 => "i64",
            Self::U64 => "u64",
            Self::F16 => "f16",
            Self::Bf16 => "bf16",
            Self::F32 => "f32",
            Self::F64 => "f64",
        }
    }

    /// The type with this [`name`](Self::name), in any letter case.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|t| t.name().eq_ignore_ascii_case(name))
    }
}

impl core::fmt::Display for ElementType {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(self.name())
    }
}

/// How the components of an element lie in a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u32)]
#[non_exhaustive]
pub enum ElementLayout {
    /// Scalars, one after the other.
    SoaScalar = 0,
    /// Whole vectors, one after the other: x y z, x y z.
    AosVector = 1,
}

impl ElementLayout {
    /// The layout with this wire code.
    #[must_use]
    pub const fn from_wire(code: u32) -> Option<Self> {
        match code {
            0 => Some(Self::SoaScalar),
            1 => Some(Self::AosVector),
            _ => None,
        }
    }

    /// The wire code.
    #[must_use]
    pub const fn to_wire(self) -> u32 {
        self as u32
    }

    /// The name used in text output.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::SoaScalar => "soa_scalar",
            Self::AosVector => "aos_vector",
        }
    }
}

/// A Rust type whose values are elements of a stream: the scalars, arrays of them, arrays of arrays, and plain-data
/// structs of components of one type.
///
/// `[f32; 3]` is an element of an f32 stream with three components. A type whose size is not that of its components, or
/// whose alignment is above 8, does not compile where it is used ([`check_element`]).
///
/// ```
/// use bytemuck::{Pod, Zeroable};
/// use shmx_abi::{Element, ElementType};
///
/// #[derive(Clone, Copy, Pod, Zeroable)]
/// #[repr(C)]
/// struct Pose {
///     position: [f64; 3],
///     orientation: [f64; 4],
/// }
///
/// impl Element for Pose {
///     const TYPE: ElementType = ElementType::F64;
///     const COMPONENTS: u32 = 7;
/// }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not an element of a stream",
    note = "elements are numbers, arrays of numbers, and `#[repr(C)]` structs for which you implement `Element`"
)]
pub trait Element: NoUninit + CheckedBitPattern + 'static {
    /// Type of one component.
    const TYPE: ElementType;
    /// Components in one value of this type.
    const COMPONENTS: u32;
}

/// An element that may be seen where it lies in a frame: any bytes are a value of it. All elements but those with a
/// `bool`, which another process may have written as a 2.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be borrowed from a frame: not every byte is a value of it",
    note = "take a checked copy (`to_vec`, `value`) or look at the bytes as `u8`"
)]
pub trait PlainElement: Element + Pod {}
impl<T: Element + Pod> PlainElement for T {}

/// Fails to compile for a type that claims to be an element and is not.
///
/// ```compile_fail,E0080
/// # use bytemuck::{Pod, Zeroable};
/// # use shmx_abi::{Element, ElementType, check_element};
/// #[derive(Clone, Copy, Pod, Zeroable)]
/// #[repr(C)]
/// struct Pair([f32; 2]);
///
/// impl Element for Pair {
///     const TYPE: ElementType = ElementType::F32;
///     const COMPONENTS: u32 = 3;
/// }
///
/// check_element::<Pair>();
/// ```
#[inline]
pub const fn check_element<T: Element>() {
    const {
        assert!(T::COMPONENTS > 0, "an element has at least one component");
        assert!(
            size_of::<T>() as u64 == T::TYPE.size() as u64 * T::COMPONENTS as u64,
            "an element is as large as its components"
        );
        assert!(align_of::<T>() <= 8, "the data of a stream is aligned to 8 bytes");
    }
}

macro_rules! scalar {
    ($($ty:ty => $variant:ident),* $(,)?) => { $(
        impl Element for $ty {
            const TYPE: ElementType = ElementType::$variant;
            const COMPONENTS: u32 = 1;
        }
    )* };
}

scalar!(bool => Bool, i8 => I8, u8 => U8, i16 => I16, u16 => U16, i32 => I32, u32 => U32, i64 => I64, u64 => U64,
        f32 => F32, f64 => F64);
#[cfg(feature = "half")]
scalar!(half::f16 => F16, half::bf16 => Bf16);

impl<T: Element, const N: usize> Element for [T; N]
where
    [T; N]: NoUninit + CheckedBitPattern,
{
    const TYPE: ElementType = T::TYPE;
    const COMPONENTS: u32 = T::COMPONENTS * N as u32;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_and_names_round_trip() {
        for (i, t) in ElementType::ALL.into_iter().enumerate() {
            assert_eq!(t.to_wire() as usize, i + 1);
            assert_eq!(ElementType::from_wire(t.to_wire()), Some(t));
            assert_eq!(ElementType::from_name(t.name()), Some(t));
        }
        assert_eq!(ElementType::from_wire(0), None);
        assert_eq!(ElementType::from_wire(14), None);
    }

    /// Section 2 of the format.
    #[test]
    fn layouts_are_those_of_the_document() {
        let all = [(0, ElementLayout::SoaScalar, "soa_scalar"), (1, ElementLayout::AosVector, "aos_vector")];
        for (code, layout, name) in all {
            assert_eq!((layout.to_wire(), layout.name()), (code, name));
            assert_eq!(ElementLayout::from_wire(code), Some(layout));
        }
        assert_eq!(ElementLayout::from_wire(2), None);
    }

    #[test]
    fn a_type_is_as_large_as_its_name_says() {
        for t in ElementType::ALL {
            let bits = t.name().trim_start_matches(|c: char| !c.is_ascii_digit()).parse().unwrap_or(8);
            assert_eq!(t.size() * 8, bits, "{t}");
            assert_eq!(std::format!("{t}"), t.name());
        }
    }

    #[test]
    fn arrays_are_vectors() {
        assert_eq!(<[f32; 3]>::COMPONENTS, 3);
        assert_eq!(<[f32; 3]>::TYPE, ElementType::F32);
        assert_eq!(<[[i8; 2]; 2]>::COMPONENTS, 4);
    }
}
