//! Reads operations from the front of the fuzzer's bytes.
//!
//! Everything is read front to back, so that a seed can be written down as the bytes of its operations and a
//! mutation in the middle leaves what stands before it alone.

use arbitrary::Unstructured;

/// A reader that hands out zeros past the end, so that no operation is cut short.
pub struct Ops<'a>(Unstructured<'a>);

impl<'a> Ops<'a> {
    /// Reads `bytes` from the front.
    #[must_use]
    pub fn new(bytes: &'a [u8]) -> Self {
        Self(Unstructured::new(bytes))
    }

    /// Whether all bytes have been read.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The next byte.
    pub fn u8(&mut self) -> u8 {
        self.0.arbitrary().unwrap_or(0)
    }

    /// A number below `n`, from the next byte.
    pub fn below(&mut self, n: u8) -> u8 {
        self.u8() % n.max(1)
    }

    /// The next two bytes.
    pub fn u16(&mut self) -> u16 {
        self.0.arbitrary().unwrap_or(0)
    }

    /// The next four bytes.
    pub fn u32(&mut self) -> u32 {
        self.0.arbitrary().unwrap_or(0)
    }

    /// The next `len` bytes, or what is left.
    pub fn bytes(&mut self, len: usize) -> &'a [u8] {
        let len = len.min(self.0.len());
        self.0.bytes(len).unwrap_or(&[])
    }

    /// A word that matters to protocols, or any: chosen by the next byte.
    pub fn word(&mut self) -> u32 {
        match self.below(12) {
            0 => 0,
            1 => 1,
            2 => u32::MAX,
            3 => 1 << 31,
            4 => 1 << 24,
            5 => 64,
            6 => 0x3000,
            7 => 0x2000,
            8 => u32::from(self.u8()),
            9 => u32::from(self.u16()),
            _ => self.u32(),
        }
    }
}
