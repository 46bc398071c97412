//! Control messages from a viewer to a simulation or an algorithm.

use shmx::abi::TLV_CONTROL_USER;

/// What a viewer asks for. Numbers are little-endian.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Command {
    /// Strength of gravity, relative to the usual one; f64.
    Gravity(f64),
    /// Pause or go on; one byte.
    Pause(bool),
    /// Begin anew; no body.
    Reset,
    /// Time between two steps; f64.
    TimeStep(f64),
    /// One step, then pause; no body.
    Step,
}

impl Command {
    /// The message's type.
    #[must_use]
    pub const fn ty(&self) -> u32 {
        TLV_CONTROL_USER
            + match self {
                Self::Gravity(_) => 1,
                Self::Pause(_) => 2,
                Self::Reset => 3,
                Self::TimeStep(_) => 4,
                Self::Step => 5,
            }
    }

    /// The message's body.
    #[must_use]
    pub fn body(&self) -> Vec<u8> {
        match self {
            Self::Gravity(v) | Self::TimeStep(v) => v.to_le_bytes().to_vec(),
            Self::Pause(on) => vec![u8::from(*on)],
            Self::Reset | Self::Step => Vec::new(),
        }
    }

    /// Reads a message by its type and body; `None` if it is none of these, or its body is impossible.
    #[must_use]
    pub fn read(ty: u32, body: &[u8]) -> Option<Self> {
        let number = || body.try_into().ok().map(f64::from_le_bytes).filter(|v| v.is_finite());
        match ty.checked_sub(TLV_CONTROL_USER)? {
            1 => number().filter(|v| (-100.0..=100.0).contains(v)).map(Self::Gravity),
            2 => body.first().map(|&b| Self::Pause(b != 0)),
            3 => Some(Self::Reset),
            4 => number().filter(|v| (1e-6..=1.0).contains(v)).map(Self::TimeStep),
            5 => Some(Self::Step),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_read_back_and_nonsense_does_not() {
        for c in [
            Command::Gravity(-2.5),
            Command::Pause(true),
            Command::Pause(false),
            Command::Reset,
            Command::TimeStep(0.01),
            Command::Step,
        ] {
            assert_eq!(Command::read(c.ty(), &c.body()), Some(c));
        }
        let gravity = Command::Gravity(1.0).ty();
        for data in [vec![], vec![1, 2, 3], f64::NAN.to_le_bytes().to_vec(), 1e300_f64.to_le_bytes().to_vec()] {
            assert_eq!(Command::read(gravity, &data), None);
        }
        assert_eq!(Command::read(0x3FFF, &[]), None);
        assert_eq!(Command::read(1, &[]), None);
    }
}
