//! Finding each other: what is offered, who wants it, and what they are told.

use super::bytes::{Reader, Writer};
use super::{NAME_MAX, OLDEST, TEXT_MAX, VERSION, WireError, head, kind, open, open_known};
use crate::keys::is_host;
use shmx::abi::RegionLayout;
use shmx::abi::extension::Features;
use std::fmt;

/// Most streams that a wish names.
const STREAMS_MAX: u32 = 1024;
/// Most regions in an answer about offers.
const OFFERS_MAX: u32 = 65536;

/// What an importer wants of a region beyond what the exporter allows: whichever is less counts.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Wish {
    /// Every frame in order, as far as the link carries it; else the newest each time.
    pub every: bool,
    /// Codecs that it can undo, a bit for each: [`crate::Codec::bit`].
    pub codecs: u32,
    /// Least time between two frames, in nanoseconds.
    pub interval_ns: u64,
    /// Bytes per second; 0 for any number.
    pub bytes_per_second: u64,
    /// Only these streams, by name or number; all if there are none.
    pub streams: Vec<String>,
}

/// Asks for a region.
#[derive(Clone, Debug, PartialEq)]
pub struct Attach {
    /// The oldest version that the asker speaks.
    pub oldest: u16,
    /// The newest.
    pub newest: u16,
    /// Who asks.
    pub peer: u64,
    /// On which host.
    pub host: String,
    /// The asker's number for what it asks for.
    pub attachment: u64,
    /// The region.
    pub region: String,
    /// Its session.
    pub session: u64,
    /// The last frame of that session that the asker has had; 0 for none.
    pub after: u64,
    /// What it wants.
    pub wish: Wish,
}

impl Attach {
    /// As a message.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        let mut w = head(&mut out, kind::ATTACH);
        w.u16(self.oldest);
        w.u16(self.newest);
        w.u64(self.peer);
        w.text(&self.host);
        w.u64(self.attachment);
        w.text(&self.region);
        w.u64(self.session);
        w.u64(self.after);
        w.u8(self.wish.every.into());
        w.u32(self.wish.codecs);
        w.u64(self.wish.interval_ns);
        w.u64(self.wish.bytes_per_second);
        w.u32(self.wish.streams.len() as u32);
        for s in &self.wish.streams {
            w.text(s);
        }
        out
    }

    /// Reads one. Of another version only the versions are read, and the error tells them.
    ///
    /// # Errors
    ///
    /// [`AttachError`].
    pub fn decode(message: &[u8]) -> Result<Self, AttachError> {
        let (_, found, mut r) = open(message)?;
        if found != kind::ATTACH {
            return Err(WireError::Kind(found).into());
        }
        let (oldest, newest) = (r.u16()?, r.u16()?);
        if newest < OLDEST || oldest > VERSION || oldest > newest {
            return Err(AttachError::Versions { oldest, newest });
        }
        let peer = r.u64()?;
        let host = host(&mut r)?;
        let attachment = r.u64()?;
        let region = r.text(NAME_MAX, "region")?.to_owned();
        let (session, after) = (r.u64()?, r.u64()?);
        let every = r.flag("mode")?;
        let (codecs, interval_ns, bytes_per_second) = (r.u32()?, r.u64()?, r.u64()?);
        let count = r.u32()?;
        if count > STREAMS_MAX {
            return Err(WireError::Value("number of streams").into());
        }
        let streams: Result<Vec<_>, _> = (0..count).map(|_| r.text(NAME_MAX, "stream").map(str::to_owned)).collect();
        let wish = Wish { every, codecs, interval_ns, bytes_per_second, streams: streams? };
        r.end()?;
        Ok(Self { oldest, newest, peer, host, attachment, region, session, after, wish })
    }
}

/// Why a question for a region cannot be answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AttachError {
    /// It cannot be read.
    #[error(transparent)]
    Wire(#[from] WireError),
    /// There is no version that both sides speak.
    #[error("it speaks versions {oldest} to {newest} of the bridge's messages, this one {OLDEST} to {VERSION}")]
    Versions {
        /// Its oldest.
        oldest: u16,
        /// Its newest.
        newest: u16,
    },
}

fn host(r: &mut Reader<'_>) -> Result<String, WireError> {
    let host = r.text(NAME_MAX, "host")?;
    if is_host(host) { Ok(host.to_owned()) } else { Err(WireError::Value("host")) }
}

/// The measures of a region.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Geometry {
    /// Frame slots.
    pub slots: u32,
    /// Reader slots.
    pub reader_slots: u32,
    /// Bytes for the directory.
    pub static_bytes_cap: u32,
    /// Largest payload.
    pub frame_bytes_cap: u32,
    /// Bytes of each control ring.
    pub control_per_reader: u32,
    /// The first feature word.
    pub features: u32,
    /// Flags of the second.
    pub features_more: u32,
}

impl Geometry {
    /// Of a region whose server has these features.
    #[must_use]
    pub const fn of(layout: &RegionLayout, features: Features) -> Self {
        let (features, features_more) = features.to_wire();
        Self {
            slots: layout.slots(),
            reader_slots: layout.reader_slots(),
            static_bytes_cap: layout.static_bytes_cap(),
            frame_bytes_cap: layout.frame_bytes_cap(),
            control_per_reader: layout.control_per_reader(),
            features,
            features_more,
        }
    }
}

impl Geometry {
    fn encode(&self, w: &mut Writer<'_>) {
        let Self { slots, reader_slots, static_bytes_cap, frame_bytes_cap, control_per_reader, .. } = *self;
        for v in [slots, reader_slots, static_bytes_cap, frame_bytes_cap, control_per_reader] {
            w.u32(v);
        }
        w.u32(self.features);
        w.u32(self.features_more);
    }

    fn decode(r: &mut Reader<'_>) -> Result<Self, WireError> {
        Ok(Self {
            slots: r.u32()?,
            reader_slots: r.u32()?,
            static_bytes_cap: r.u32()?,
            frame_bytes_cap: r.u32()?,
            control_per_reader: r.u32()?,
            features: r.u32()?,
            features_more: r.u32()?,
        })
    }
}

/// Grants a region.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Welcome<'a> {
    /// The session that will be sent.
    pub session: u64,
    /// Process id that the server gave.
    pub server_pid: u32,
    /// Its measures.
    pub geometry: Geometry,
    /// Whether every frame is sent in order.
    pub every: bool,
    /// Frames that may be on their way at once.
    pub window: u32,
    /// Whether control messages are taken to the origin.
    pub control: bool,
    /// Id of the frame after which counting begins: each later one comes, or is missed.
    pub before: u64,
    /// The directory, byte for byte.
    pub directory: &'a [u8],
    /// The newest frame, as a message of its own; empty if there is none yet.
    pub first: &'a [u8],
}

impl Welcome<'_> {
    /// As a message.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        let mut w = head(&mut out, kind::WELCOME);
        w.u64(self.session);
        w.u32(self.server_pid);
        self.geometry.encode(&mut w);
        w.u8(self.every.into());
        w.u32(self.window);
        w.u8(self.control.into());
        w.u64(self.before);
        w.bytes(self.directory);
        w.0.extend_from_slice(self.first);
        out
    }
}

/// Why a bridge refuses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Why {
    /// No version in common.
    Version,
    /// The question cannot be read.
    Unreadable,
    /// It offers no such region, or not in this session any more.
    NoSuchRegion,
    /// It has no room for another peer.
    Full,
    /// The region cannot be read.
    Trouble,
}

impl Why {
    const ALL: [Self; 5] = [Self::Version, Self::Unreadable, Self::NoSuchRegion, Self::Full, Self::Trouble];
}

/// Refuses a region, and says why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// The oldest version that the bridge speaks.
    pub oldest: u16,
    /// The newest.
    pub newest: u16,
    /// Why.
    pub why: Why,
    /// In words.
    pub text: String,
}

impl Refused {
    /// Refuses for this reason.
    #[must_use]
    pub fn new(why: Why, text: impl Into<String>) -> Self {
        Self { oldest: OLDEST, newest: VERSION, why, text: text.into() }
    }

    /// As a message.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        let mut w = head(&mut out, kind::REFUSED);
        w.u16(self.oldest);
        w.u16(self.newest);
        w.u8(Why::ALL.iter().position(|&w| w == self.why).unwrap_or(0) as u8);
        let most = (0..=self.text.len().min(TEXT_MAX)).rev().find(|&n| self.text.is_char_boundary(n));
        w.text(&self.text[..most.unwrap_or(0)]);
        out
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// What a question for a region brings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer<'a> {
    /// It will be sent.
    Welcome(Welcome<'a>),
    /// It will not.
    Refused(Refused),
}

impl<'a> Answer<'a> {
    /// Reads one. A refusal is read in every version.
    ///
    /// # Errors
    ///
    /// [`WireError`].
    pub fn decode(message: &'a [u8]) -> Result<Self, WireError> {
        let (_, found, mut r) = open(message)?;
        if found == kind::REFUSED {
            let (oldest, newest) = (r.u16()?, r.u16()?);
            let why = usize::from(r.u8()?);
            let why = Why::ALL.get(why).copied().unwrap_or(Why::Trouble);
            let text = r.text(TEXT_MAX, "reason")?.to_owned();
            return Ok(Self::Refused(Refused { oldest, newest, why, text }));
        }
        let (found, mut r) = open_known(message)?;
        if found != kind::WELCOME {
            return Err(WireError::Kind(found));
        }
        let (session, server_pid) = (r.u64()?, r.u32()?);
        let geometry = Geometry::decode(&mut r)?;
        let every = r.flag("mode")?;
        let window = r.u32()?;
        let control = r.flag("permission")?;
        let before = r.u64()?;
        let directory = r.bytes()?;
        let first = r.rest();
        Ok(Self::Welcome(Welcome { session, server_pid, geometry, every, window, control, before, directory, first }))
    }
}

/// A region that is offered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offer {
    /// Its name there.
    pub region: String,
    /// Session of its server.
    pub session: u64,
    /// Its measures.
    pub geometry: Geometry,
    /// Streams in its directory.
    pub streams: u32,
    /// Frames published so far.
    pub published: u64,
    /// Peers that it is sent to.
    pub peers: u32,
    /// Whether control messages are taken to it.
    pub control: bool,
}

/// All that a bridge offers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Offers {
    /// The version that it speaks best.
    pub version: u16,
    /// The regions.
    pub regions: Vec<Offer>,
}

impl Offers {
    /// As a message.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        let mut w = head(&mut out, kind::OFFERS);
        w.u32(self.regions.len() as u32);
        for o in &self.regions {
            w.text(&o.region);
            w.u64(o.session);
            o.geometry.encode(&mut w);
            w.u32(o.streams);
            w.u64(o.published);
            w.u32(o.peers);
            w.u8(o.control.into());
        }
        out
    }

    /// Reads one.
    ///
    /// # Errors
    ///
    /// [`WireError`].
    pub fn decode(message: &[u8]) -> Result<Self, WireError> {
        let (version, ..) = open(message)?;
        let (found, mut r) = open_known(message)?;
        if found != kind::OFFERS {
            return Err(WireError::Kind(found));
        }
        let count = r.u32()?;
        if count > OFFERS_MAX {
            return Err(WireError::Value("number of regions"));
        }
        let offer = |_| {
            Ok(Offer {
                region: r.text(NAME_MAX, "region")?.to_owned(),
                session: r.u64()?,
                geometry: Geometry::decode(&mut r)?,
                streams: r.u32()?,
                published: r.u64()?,
                peers: r.u32()?,
                control: r.flag("permission")?,
            })
        };
        let regions = (0..count).map(offer).collect::<Result<_, WireError>>()?;
        r.end()?;
        Ok(Self { version, regions })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attach() -> Attach {
        let wish = Wish { every: true, codecs: 3, interval_ns: 4, bytes_per_second: 5, streams: vec!["a".into()] };
        let (host, region) = ("h".into(), "r".into());
        Attach { oldest: OLDEST, newest: VERSION, peer: 1, host, attachment: 2, region, session: 3, after: 9, wish }
    }

    #[test]
    fn they_read_back() {
        let a = attach();
        assert_eq!(Attach::decode(&a.encode()), Ok(a));
        let refused = Refused::new(Why::Full, "ä".repeat(600));
        let Ok(Answer::Refused(read)) = Answer::decode(&refused.encode()) else { panic!("no refusal") };
        assert_eq!((read.why, read.text.len()), (Why::Full, TEXT_MAX));
        let geometry = Geometry { slots: 1, features_more: 7, ..Geometry::default() };
        let w = Welcome {
            session: 1,
            server_pid: 2,
            geometry,
            every: false,
            window: 1,
            control: true,
            before: 3,
            directory: b"dir",
            first: b"frame",
        };
        assert_eq!(Answer::decode(&w.encode()), Ok(Answer::Welcome(w)));
        let offer =
            Offer { region: "r".into(), session: 1, geometry, streams: 2, published: 3, peers: 4, control: false };
        let offers = Offers { version: VERSION, regions: vec![offer; 3] };
        assert_eq!(Offers::decode(&offers.encode()), Ok(offers));
    }

    #[test]
    fn another_version_is_told_and_not_misread() {
        let newer = Attach { oldest: VERSION + 1, newest: VERSION + 2, ..attach() };
        let mut message = newer.encode();
        // What follows the versions is another thing there.
        message.truncate(12);
        message.extend_from_slice(b"something else");
        message[4] = 9;
        let told = AttachError::Versions { oldest: VERSION + 1, newest: VERSION + 2 };
        assert_eq!(Attach::decode(&message), Err(told));
        let mut refused = Refused::new(Why::Version, "use another").encode();
        refused[4] = 9;
        assert!(matches!(Answer::decode(&refused), Ok(Answer::Refused(r)) if r.text == "use another"));
        let mut offers = Offers::default().encode();
        offers[4] = 9;
        assert_eq!(Offers::decode(&offers), Err(WireError::Version { found: 9 }));
        assert_eq!(Offers::decode(b"GET / HTTP/1.1"), Err(WireError::Foreign));
    }
}
