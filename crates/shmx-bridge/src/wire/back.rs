//! What a peer sends back: what has come, signs of life, messages of readers.

use super::{NAME_MAX, WireError, head, kind, open_known};
use crate::keys::is_host;

/// Type of the control message that goes before each one from another host and says who sent it: its body is the
/// sender's reader id (u64, little-endian) and then the name of its host.
pub const FROM: u32 = 0x4D4F_5246;

/// What a peer sends back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Back<'a> {
    /// All messages up to this number have come.
    Ack {
        /// The number.
        seq: u64,
    },
    /// The peer lives.
    Keep {
        /// All messages up to this number have come.
        seq: u64,
        /// When this is sent, by the peer's clock: nanoseconds since 1970.
        sent_ns: u64,
    },
    /// A reader of the mirror has sent a control message.
    Control {
        /// Number of the message, from 1 without gaps.
        seq: u64,
        /// Host of the reader.
        host: &'a str,
        /// Id of the reader.
        reader_id: u64,
        /// Type of its message.
        ty: u32,
        /// Its body.
        body: &'a [u8],
    },
    /// The peer wants no more.
    Bye,
}

impl<'a> Back<'a> {
    /// As a message.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        match *self {
            Self::Ack { seq } => head(&mut out, kind::ACK).u64(seq),
            Self::Keep { seq, sent_ns } => {
                let mut w = head(&mut out, kind::KEEP);
                w.u64(seq);
                w.u64(sent_ns);
            }
            Self::Control { seq, host, reader_id, ty, body } => {
                let mut w = head(&mut out, kind::CONTROL);
                w.u64(seq);
                w.text(host);
                w.u64(reader_id);
                w.u32(ty);
                w.bytes(body);
            }
            Self::Bye => drop(head(&mut out, kind::BYE)),
        }
        out
    }

    /// Reads one.
    ///
    /// # Errors
    ///
    /// [`WireError`].
    pub fn decode(message: &'a [u8]) -> Result<Self, WireError> {
        let (found, mut r) = open_known(message)?;
        let back = match found {
            kind::ACK => Self::Ack { seq: r.u64()? },
            kind::KEEP => Self::Keep { seq: r.u64()?, sent_ns: r.u64()? },
            kind::CONTROL => {
                let seq = r.u64()?;
                let host = r.text(NAME_MAX, "host")?;
                if !is_host(host) {
                    return Err(WireError::Value("host"));
                }
                Self::Control { seq, host, reader_id: r.u64()?, ty: r.u32()?, body: r.bytes()? }
            }
            kind::BYE => Self::Bye,
            other => return Err(WireError::Kind(other)),
        };
        r.end()?;
        Ok(back)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn they_read_back_and_stand_being_cut() {
        let all = [
            Back::Ack { seq: 7 },
            Back::Keep { seq: 7, sent_ns: 8 },
            Back::Control { seq: 1, host: "desk", reader_id: 9, ty: 0x3000, body: b"faster" },
            Back::Bye,
        ];
        for back in all {
            let out = back.encode();
            assert_eq!(Back::decode(&out).as_ref(), Ok(&back));
            for cut in 0..out.len() {
                assert!(Back::decode(&out[..cut]).is_err(), "{back:?} cut at {cut}");
            }
        }
    }
}
