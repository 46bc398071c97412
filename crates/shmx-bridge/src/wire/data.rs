//! What an origin sends: frames, additions to the directory, the end, and signs of life.

use super::bytes::{Reader, Writer};
use super::{TEXT_MAX, WireError, head, kind, open_known};
use crate::codec::Codec;
use shmx::abi::hash;

/// What is added to the directory of a region, in its place before a frame or alone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Addition<'a> {
    /// Where it begins in the origin's directory.
    pub at: u32,
    /// The bytes; empty if there is nothing new.
    pub bytes: &'a [u8],
}

/// The data of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Body<'a> {
    /// The payload, byte for byte.
    Whole(&'a [u8]),
    /// Stream by stream, each compressed or not: [`Parts`].
    Parts(&'a [u8]),
}

/// A frame.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Frame<'a> {
    /// Number of the message, from 1 without gaps.
    pub seq: u64,
    /// Id in the origin's region.
    pub frame_id: u64,
    /// Session that wrote it.
    pub session: u64,
    /// Bits of the producer's own time.
    pub sim_time_bits: u64,
    /// When it was published, by the origin's clock: nanoseconds since 1970; 0 if that is not known.
    pub published_ns: u64,
    /// Records of the payload.
    pub tlv_count: u32,
    /// Whether the producer wrote a checksum.
    pub has_checksum: bool,
    /// What must be in the directory first.
    pub addition: Addition<'a>,
    /// Checksum of the body as it is sent.
    pub checksum: u32,
    /// The data.
    pub body: Body<'a>,
}

const HAS_CHECKSUM: u8 = 1;
const PARTS: u8 = 2;

impl Default for Body<'_> {
    fn default() -> Self {
        Self::Whole(&[])
    }
}

impl<'a> Body<'a> {
    /// Its bytes.
    #[must_use]
    pub const fn bytes(&self) -> &'a [u8] {
        match *self {
            Self::Whole(bytes) | Self::Parts(bytes) => bytes,
        }
    }

    /// The same kind of body with these bytes.
    #[must_use]
    pub const fn with(&self, bytes: &'a [u8]) -> Self {
        match self {
            Self::Whole(_) => Self::Whole(bytes),
            Self::Parts(_) => Self::Parts(bytes),
        }
    }
}

impl<'a> Frame<'a> {
    /// As a message.
    pub fn encode(&self, out: &mut Vec<u8>) {
        self.encode_as(kind::FRAME, out);
    }

    fn encode_as(&self, kind: u8, out: &mut Vec<u8>) {
        let body = self.body.bytes();
        out.clear();
        out.reserve(body.len() + self.addition.bytes.len() + 128);
        let parts = if matches!(self.body, Body::Parts(_)) { PARTS } else { 0 };
        let mut w = head(out, kind);
        w.u64(self.seq);
        w.u64(self.frame_id);
        w.u64(self.session);
        w.u64(self.sim_time_bits);
        w.u64(self.published_ns);
        w.u32(self.tlv_count);
        w.u8(parts | if self.has_checksum { HAS_CHECKSUM } else { 0 });
        addition(&mut w, &self.addition);
        w.u32(self.checksum);
        w.0.extend_from_slice(body);
    }

    fn decode(mut r: Reader<'a>) -> Result<Self, WireError> {
        let (seq, frame_id, session) = (r.u64()?, r.u64()?, r.u64()?);
        let (sim_time_bits, published_ns) = (r.u64()?, r.u64()?);
        let tlv_count = r.u32()?;
        let flags = r.u8()?;
        if flags & !(HAS_CHECKSUM | PARTS) != 0 {
            return Err(WireError::Value("flags"));
        }
        let has_checksum = flags & HAS_CHECKSUM != 0;
        let addition = Addition { at: r.u32()?, bytes: r.bytes()? };
        let checksum = r.u32()?;
        let body = if flags & PARTS == 0 { Body::Whole(r.rest()) } else { Body::Parts(r.rest()) };
        Ok(Self {
            seq,
            frame_id,
            session,
            sim_time_bits,
            published_ns,
            tlv_count,
            has_checksum,
            addition,
            checksum,
            body,
        })
    }

    /// Whether the body is what was sent.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        hash::checksum32(self.body.bytes()) == self.checksum
    }
}

/// A frame whose body follows in pieces, in order and with nothing between them but signs of life.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Begin<'a> {
    /// The frame. Its body is empty and its checksum 0: [`Piece`] has both.
    pub frame: Frame<'a>,
    /// Bytes of the body.
    pub len: u32,
    /// The producer's own checksum, where it wrote one and the payload is sent as it is.
    pub own: Option<u32>,
}

/// A piece of the body of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Piece<'a> {
    /// Number of the frame's message.
    pub seq: u64,
    /// Where it begins in the body.
    pub at: u32,
    /// CRC-32 of the body up to the end of this piece; 0, and not looked at, where the producer's own checksum travels
    /// ([`Begin::own`]): that is compared instead.
    pub checksum: u32,
    /// The bytes.
    pub data: &'a [u8],
}

impl Piece<'_> {
    /// Bytes of the message before the data.
    pub(crate) const HEAD: usize = 24;

    /// Writes the head over the first bytes of a message whose data stands behind it.
    pub(crate) fn write_head(&self, message: &mut [u8]) {
        let mut head = Vec::with_capacity(Self::HEAD);
        Piece { data: &[], ..*self }.encode(&mut head);
        message[..Self::HEAD].copy_from_slice(&head);
    }

    /// As a message.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.clear();
        out.reserve(Self::HEAD + self.data.len());
        let mut w = head(out, kind::PIECE);
        w.u64(self.seq);
        w.u32(self.at);
        w.u32(self.checksum);
        w.0.extend_from_slice(self.data);
    }
}

fn addition(w: &mut Writer<'_>, addition: &Addition<'_>) {
    w.u32(addition.at);
    w.bytes(addition.bytes);
}

/// The session has ended, or is not sent any more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ended {
    /// Number of the message.
    pub seq: u64,
    /// Session that has ended.
    pub session: u64,
    /// Frames that it published.
    pub published: u64,
    /// Why, in words.
    pub reason: String,
}

/// A sign of life, and an answer to [`super::Back::Keep`]: moments are nanoseconds since 1970.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Alive {
    /// When the peer sent what is answered, by its clock; 0 if nothing is.
    pub asked_ns: u64,
    /// When that came, by the origin's clock.
    pub came_ns: u64,
    /// When this is sent, by the same.
    pub sent_ns: u64,
    /// Frames published so far.
    pub published: u64,
}

/// What an origin sends.
#[derive(Clone, Debug, PartialEq)]
pub enum Data<'a> {
    /// A frame.
    Frame(Frame<'a>),
    /// The beginning of a large one.
    Begin(Begin<'a>),
    /// A piece of it.
    Piece(Piece<'a>),
    /// There is no more of a frame: its producer has overwritten what was not sent.
    GivenUp {
        /// Number of the frame's message.
        seq: u64,
    },
    /// More streams, while no frame comes.
    Directory {
        /// Number of the message.
        seq: u64,
        /// Session that they belong to.
        session: u64,
        /// What is new.
        addition: Addition<'a>,
    },
    /// There is no more.
    End(Ended),
    /// The origin lives.
    Alive(Alive),
}

impl<'a> Data<'a> {
    /// As a message.
    pub fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Self::Frame(frame) => frame.encode(out),
            Self::Begin(Begin { frame, len, own }) => {
                let own = own.map_or([0; 4], u32::to_le_bytes);
                Frame { body: frame.body.with(&own), checksum: *len, ..*frame }.encode_as(kind::BEGIN, out);
            }
            Self::Piece(piece) => piece.encode(out),
            Self::GivenUp { seq } => head(out, kind::GIVEN_UP).u64(*seq),
            Self::Directory { seq, session, addition: added } => {
                let mut w = head(out, kind::DIRECTORY);
                w.u64(*seq);
                w.u64(*session);
                addition(&mut w, added);
            }
            Self::End(Ended { seq, session, published, reason }) => {
                let mut w = head(out, kind::END);
                w.u64(*seq);
                w.u64(*session);
                w.u64(*published);
                w.text(reason);
            }
            Self::Alive(a) => {
                let mut w = head(out, kind::ALIVE);
                for v in [a.asked_ns, a.came_ns, a.sent_ns, a.published] {
                    w.u64(v);
                }
            }
        }
    }

    /// Reads one. The data of a frame is not looked at.
    ///
    /// # Errors
    ///
    /// [`WireError`].
    pub fn decode(message: &'a [u8]) -> Result<Self, WireError> {
        let (found, mut r) = open_known(message)?;
        match found {
            kind::FRAME => Frame::decode(r).map(Self::Frame),
            kind::BEGIN => {
                let frame = Frame::decode(r)?;
                let mut own = Reader(frame.body.bytes());
                let stored = own.u32()?;
                own.end()?;
                if frame.checksum == 0 {
                    return Err(WireError::Value("length"));
                }
                let own = (frame.has_checksum && matches!(frame.body, Body::Whole(_))).then_some(stored);
                let (len, body) = (frame.checksum, frame.body.with(&[]));
                Ok(Self::Begin(Begin { len, own, frame: Frame { checksum: 0, body, ..frame } }))
            }
            kind::PIECE => {
                let (seq, at, checksum) = (r.u64()?, r.u32()?, r.u32()?);
                Ok(Self::Piece(Piece { seq, at, checksum, data: r.rest() }))
            }
            kind::GIVEN_UP => {
                let seq = r.u64()?;
                r.end()?;
                Ok(Self::GivenUp { seq })
            }
            kind::DIRECTORY => {
                let (seq, session) = (r.u64()?, r.u64()?);
                let addition = Addition { at: r.u32()?, bytes: r.bytes()? };
                r.end()?;
                Ok(Self::Directory { seq, session, addition })
            }
            kind::END => {
                let (seq, session, published) = (r.u64()?, r.u64()?, r.u64()?);
                let reason = r.text(TEXT_MAX, "reason")?.to_owned();
                r.end()?;
                Ok(Self::End(Ended { seq, session, published, reason }))
            }
            kind::ALIVE => {
                let (asked_ns, came_ns, sent_ns, published) = (r.u64()?, r.u64()?, r.u64()?, r.u64()?);
                r.end()?;
                Ok(Self::Alive(Alive { asked_ns, came_ns, sent_ns, published }))
            }
            other => Err(WireError::Kind(other)),
        }
    }
}

/// One stream of a frame that is sent stream by stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Part<'a> {
    /// The stream.
    pub stream_id: u32,
    /// Its elements.
    pub elem_count: u32,
    /// How its data is compressed.
    pub codec: Codec,
    /// Bytes of its data.
    pub len: u32,
    /// The data as it is sent.
    pub data: &'a [u8],
}

impl Part<'_> {
    /// Appends it to a body.
    pub fn encode(&self, body: &mut Vec<u8>) {
        let mut w = Writer(body);
        w.u32(self.stream_id);
        w.u32(self.elem_count);
        w.u8(self.codec.to_wire());
        w.u32(self.len);
        w.bytes(self.data);
    }
}

/// Walks over the streams of [`Body::Parts`]; ends after the first that is impossible.
#[derive(Debug)]
pub struct Parts<'a>(Reader<'a>);

impl<'a> Parts<'a> {
    /// Of this body.
    #[must_use]
    pub const fn new(body: &'a [u8]) -> Self {
        Self(Reader(body))
    }

    fn part(&mut self) -> Result<Part<'a>, WireError> {
        let r = &mut self.0;
        let (stream_id, elem_count) = (r.u32()?, r.u32()?);
        let codec = Codec::from_wire(r.u8()?).ok_or(WireError::Value("codec"))?;
        Ok(Part { stream_id, elem_count, codec, len: r.u32()?, data: r.bytes()? })
    }
}

impl<'a> Iterator for Parts<'a> {
    type Item = Result<Part<'a>, WireError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.0.is_empty() {
            return None;
        }
        let part = self.part();
        if part.is_err() {
            self.0 = Reader(&[]);
        }
        Some(part)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn they_read_back_and_stand_being_cut() {
        let frame = Frame {
            seq: 1,
            frame_id: 2,
            session: 3,
            sim_time_bits: f64::NAN.to_bits(),
            published_ns: 4,
            tlv_count: 5,
            has_checksum: true,
            addition: Addition { at: 6, bytes: b"more" },
            checksum: hash::checksum32(b"payload"),
            body: Body::Whole(b"payload"),
        };
        let ended = Ended { seq: 1, session: 2, published: 3, reason: "server left".into() };
        let all = [
            Data::Frame(frame),
            Data::Begin(Begin { frame: Frame { body: Body::Parts(b""), checksum: 0, ..frame }, len: 7, own: None }),
            Data::Begin(Begin { frame: Frame { body: Body::Whole(b""), checksum: 0, ..frame }, len: 7, own: Some(8) }),
            Data::Piece(Piece { seq: 1, at: 2, checksum: 3, data: b"piece" }),
            Data::GivenUp { seq: 1 },
            Data::Directory { seq: 1, session: 2, addition: frame.addition },
            Data::End(ended),
            Data::Alive(Alive { asked_ns: 1, came_ns: 2, sent_ns: 3, published: 4 }),
        ];
        let mut out = Vec::new();
        for data in all {
            data.encode(&mut out);
            assert_eq!(Data::decode(&out).as_ref(), Ok(&data));
            // What is cut off a frame is cut off its body, which the checksum tells.
            for cut in 0..out.len() {
                match Data::decode(&out[..cut]) {
                    Ok(Data::Frame(f)) => assert!(!f.is_whole()),
                    Ok(Data::Piece(p)) => assert!(p.data.len() < 5),
                    read => assert!(read.is_err(), "{data:?} cut at {cut}"),
                }
            }
        }
        assert!(frame.is_whole());
    }

    #[test]
    fn parts_read_back() {
        let part = Part { stream_id: 1, elem_count: 2, codec: Codec::Zstd, len: 9, data: b"abc" };
        let mut body = Vec::new();
        part.encode(&mut body);
        part.encode(&mut body);
        assert_eq!(Parts::new(&body).collect::<Vec<_>>(), [Ok(part), Ok(part)]);
        assert_eq!(Parts::new(&body[..body.len() - 1]).last(), Some(Err(WireError::Short)));
        body[8] = 99;
        assert_eq!(Parts::new(&body).last(), Some(Err(WireError::Value("codec"))));
    }
}
