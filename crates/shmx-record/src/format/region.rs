//! What becomes of a region, as keys and values.

use crate::hex;
use shmx::abi::extension::Features;
use shmx::abi::hash;
use shmx::{Checksum, Server, ServerBuilder, ServerState, Tap};
use std::collections::BTreeMap;
use std::fmt;

/// A region's life that was recorded, or a part of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Segment {
    /// Name of the region, without leading `/`.
    pub region: String,
    /// Number of the segment among those of the region, from 1.
    pub number: u32,
    /// Session of the server.
    pub session_id: u64,
    /// The first feature word.
    pub features: u32,
    /// Flags of the second feature word.
    pub features_more: u32,
    /// Process id that the server gave; 0 for none.
    pub server_pid: u32,
    /// Frame slots.
    pub slots: u32,
    /// Reader slots.
    pub reader_slots: u32,
    /// Bytes for the stream directory.
    pub static_bytes_cap: u32,
    /// Largest payload of a frame.
    pub frame_bytes_cap: u32,
    /// Bytes of each control ring.
    pub control_per_reader: u32,
}

impl Segment {
    /// The region that a tap has open, as the segment with this number.
    #[must_use]
    pub fn of(tap: &Tap, number: u32) -> Self {
        let layout = tap.layout();
        let (features, features_more) = tap.features().to_wire();
        Self {
            region: tap.name().to_owned(),
            number,
            session_id: tap.session_id(),
            features,
            features_more,
            server_pid: if tap.features().is_extended() { tap.header().ext_server_pid } else { 0 },
            slots: layout.slots(),
            reader_slots: layout.reader_slots(),
            static_bytes_cap: layout.static_bytes_cap(),
            frame_bytes_cap: layout.frame_bytes_cap(),
            control_per_reader: layout.control_per_reader(),
        }
    }

    /// Whether frames of the segment may carry a checksum; if not, none does.
    #[must_use]
    pub const fn has_checksums(&self) -> bool {
        !Features::from_wire(self.features, self.features_more, self.session_id).has(Features::NO_CHECKSUM)
    }

    /// Options of a server that rebuilds the region under `name`, with this directory.
    pub fn server(&self, name: &str, directory: &[u8]) -> ServerBuilder {
        Server::builder(name)
            .slots(self.slots)
            .reader_slots(self.reader_slots)
            .directory_bytes(self.static_bytes_cap)
            .frame_bytes(self.frame_bytes_cap)
            .control_bytes(self.control_per_reader)
            .checksum(if self.has_checksums() { Checksum::Auto } else { Checksum::Never })
            .directory(directory)
    }
}

/// Why a segment ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum EndReason {
    /// The recorder was stopped.
    Stopped,
    /// The server left in order.
    Closed,
    /// The server's process died.
    Died,
    /// The name led to another region, or to none.
    Replaced,
    /// A server of the reference initialised the region anew.
    SessionChanged,
}

impl EndReason {
    const ALL: [(Self, &'static str); 5] = [
        (Self::Stopped, "recorder stopped"),
        (Self::Closed, "server left"),
        (Self::Died, "server died"),
        (Self::Replaced, "region replaced"),
        (Self::SessionChanged, "region initialised anew"),
    ];

    /// Whether and how the region has ended that a tap has open. Some system calls.
    #[must_use]
    pub fn of(tap: &Tap) -> Option<Self> {
        match tap.state() {
            ServerState::Closed => Some(Self::Closed),
            ServerState::Died => Some(Self::Died),
            _ if tap.header().session_id != tap.session_id() => Some(Self::SessionChanged),
            // What is cut short must not be touched any more.
            _ if !tap.is_current() || !tap.is_whole() => Some(Self::Replaced),
            _ => None,
        }
    }

    fn from_text(text: &str) -> Option<Self> {
        Self::ALL.iter().find(|(_, t)| *t == text).map(|(r, _)| *r)
    }
}

impl fmt::Display for EndReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(Self::ALL.iter().find(|(r, _)| r == self).map_or("", |(_, t)| t))
    }
}

/// Counts of a segment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Frames recorded.
    pub frames: u64,
    /// Frames missed: overwritten before the recorder came to them.
    pub missed: u64,
    /// Frames rejected, because their checksum or length was wrong.
    pub rejected: u64,
}

/// A change of a region, in its place between the frames.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RegionEvent {
    /// A segment begins, or goes on at the head of a new file.
    Begin {
        /// When the recorder opened it, nanoseconds since 1970.
        time: u64,
        /// What it is.
        segment: Segment,
        /// The stream directory, byte for byte.
        directory: Vec<u8>,
        /// Whether an earlier file has the beginning.
        continued: bool,
    },
    /// The server added to the directory.
    Directory {
        /// Region.
        region: String,
        /// Segment.
        segment: u32,
        /// Where the addition begins.
        at: u32,
        /// The bytes added.
        bytes: Vec<u8>,
    },
    /// The segment ended.
    End {
        /// When the recorder noticed, nanoseconds since 1970.
        time: u64,
        /// Region.
        region: String,
        /// Segment.
        segment: u32,
        /// Why.
        reason: EndReason,
        /// What was recorded of it, over all files.
        counts: Counts,
    },
    /// Readers sent messages to the server.
    Control {
        /// When the last of them was seen, nanoseconds since 1970.
        time: u64,
        /// Region.
        region: String,
        /// Segment.
        segment: u32,
        /// The messages, each reader's in order.
        messages: Vec<RecordedControl>,
        /// Bytes that were sent and are not in the messages.
        lost: u64,
    },
}

/// A message that a reader sent to a server.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct RecordedControl {
    /// When the recorder saw it, nanoseconds since 1970.
    pub time: u64,
    /// Index of the reader's slot.
    pub reader_index: u32,
    /// The reader's id; 0 if it had left by then.
    pub reader_id: u64,
    /// Type of the message.
    pub ty: u32,
    /// Its body.
    pub data: Vec<u8>,
}

impl RecordedControl {
    /// Time, slot, reader, type, body.
    fn to_text(&self) -> String {
        let Self { time, reader_index, reader_id, ty, data } = self;
        format!("{time} {reader_index} {reader_id:#018x} {ty:#x} {}", hex::encode(data))
    }

    fn from_text(text: &str) -> Option<Self> {
        let mut parts = text.split(' ');
        let mut next = || parts.next();
        let hexnum = |s: &str| u64::from_str_radix(s.strip_prefix("0x")?, 16).ok();
        let (time, reader_index) = (next()?.parse().ok()?, next()?.parse().ok()?);
        let (reader_id, ty) = (hexnum(next()?)?, u32::try_from(hexnum(next()?)?).ok()?);
        let data = hex::decode(next()?)?;
        next().is_none().then_some(Self { time, reader_index, reader_id, ty, data })
    }
}

pub(crate) type Map = BTreeMap<String, String>;

fn map<const N: usize>(pairs: [(&str, String); N]) -> Map {
    pairs.into_iter().map(|(k, v)| (k.to_owned(), v)).collect()
}

impl RegionEvent {
    /// The region it is about.
    #[must_use]
    pub fn region(&self) -> &str {
        match self {
            Self::Begin { segment, .. } => &segment.region,
            Self::Directory { region, .. } | Self::End { region, .. } | Self::Control { region, .. } => region,
        }
    }

    pub(crate) fn to_map(&self) -> Map {
        match self {
            Self::Begin { time, segment: s, directory, continued } => map([
                ("time", time.to_string()),
                ("event", if *continued { "continue" } else { "begin" }.to_owned()),
                ("region", s.region.clone()),
                ("segment", s.number.to_string()),
                ("session_id", format!("{:#018x}", s.session_id)),
                ("features", format!("{:#010x}", s.features)),
                ("features_more", format!("{:#010x}", s.features_more)),
                ("server_pid", s.server_pid.to_string()),
                ("slots", s.slots.to_string()),
                ("reader_slots", s.reader_slots.to_string()),
                ("static_bytes_cap", s.static_bytes_cap.to_string()),
                ("frame_bytes_cap", s.frame_bytes_cap.to_string()),
                ("control_per_reader", s.control_per_reader.to_string()),
                ("directory", hex::encode(directory)),
                ("directory_hash", format!("{:#018x}", hash::fnv1a64(directory))),
            ]),
            Self::Directory { region, segment, at, bytes } => map([
                ("event", "directory".to_owned()),
                ("region", region.clone()),
                ("segment", segment.to_string()),
                ("at", at.to_string()),
                ("bytes", hex::encode(bytes)),
            ]),
            Self::End { time, region, segment, reason, counts } => map([
                ("time", time.to_string()),
                ("event", "end".to_owned()),
                ("region", region.clone()),
                ("segment", segment.to_string()),
                ("reason", reason.to_string()),
                ("frames", counts.frames.to_string()),
                ("missed", counts.missed.to_string()),
                ("rejected", counts.rejected.to_string()),
            ]),
            Self::Control { time, region, segment, messages, lost } => map([
                ("time", time.to_string()),
                ("event", "control".to_owned()),
                ("region", region.clone()),
                ("segment", segment.to_string()),
                ("messages", messages.iter().map(RecordedControl::to_text).collect::<Vec<_>>().join("\n")),
                ("lost", lost.to_string()),
            ]),
        }
    }

    /// Its times are later by this many nanoseconds.
    pub(crate) fn shift(&mut self, by: i64) {
        let later = |t: &mut u64| *t = t.saturating_add_signed(by);
        match self {
            Self::Begin { time, .. } | Self::End { time, .. } => later(time),
            Self::Directory { .. } => {}
            Self::Control { time, messages, .. } => {
                later(time);
                messages.iter_mut().for_each(|m| later(&mut m.time));
            }
        }
    }

    /// When it was recorded, if it says so.
    pub(crate) const fn time(&self) -> Option<u64> {
        match self {
            Self::Begin { time, .. } | Self::End { time, .. } | Self::Control { time, .. } => Some(*time),
            Self::Directory { .. } => None,
        }
    }

    /// Reads an event; the error names the entry that is missing or wrong.
    pub(crate) fn from_map(m: &Map) -> Result<Self, &'static str> {
        fn get<'m>(m: &'m Map, key: &'static str) -> Result<&'m str, &'static str> {
            m.get(key).map(String::as_str).ok_or(key)
        }
        fn num<T: std::str::FromStr>(m: &Map, key: &'static str) -> Result<T, &'static str> {
            get(m, key)?.parse().map_err(|_| key)
        }
        fn hexnum(m: &Map, key: &'static str) -> Result<u64, &'static str> {
            let digits = get(m, key)?.strip_prefix("0x").ok_or(key)?;
            u64::from_str_radix(digits, 16).map_err(|_| key)
        }
        fn word(m: &Map, key: &'static str) -> Result<u32, &'static str> {
            u32::try_from(hexnum(m, key)?).map_err(|_| key)
        }
        let region = get(m, "region")?.to_owned();
        let number = num(m, "segment")?;
        match get(m, "event")? {
            event @ ("begin" | "continue") => {
                let directory = hex::decode(get(m, "directory")?).ok_or("directory")?;
                if hash::fnv1a64(&directory) != hexnum(m, "directory_hash")? {
                    return Err("directory_hash");
                }
                let segment = Segment {
                    region,
                    number,
                    session_id: hexnum(m, "session_id")?,
                    features: word(m, "features")?,
                    // Version 1 has one word.
                    features_more: if m.contains_key("features_more") { word(m, "features_more")? } else { 0 },
                    server_pid: num(m, "server_pid")?,
                    slots: num(m, "slots")?,
                    reader_slots: num(m, "reader_slots")?,
                    static_bytes_cap: num(m, "static_bytes_cap")?,
                    frame_bytes_cap: num(m, "frame_bytes_cap")?,
                    control_per_reader: num(m, "control_per_reader")?,
                };
                Ok(Self::Begin { time: num(m, "time")?, segment, directory, continued: event == "continue" })
            }
            "directory" => {
                let bytes = hex::decode(get(m, "bytes")?).ok_or("bytes")?;
                Ok(Self::Directory { region, segment: number, at: num(m, "at")?, bytes })
            }
            "end" => Ok(Self::End {
                time: num(m, "time")?,
                region,
                segment: number,
                reason: EndReason::from_text(get(m, "reason")?).ok_or("reason")?,
                counts: Counts {
                    frames: num(m, "frames")?,
                    missed: num(m, "missed")?,
                    // Its name in version 1.
                    rejected: if m.contains_key("refused") { num(m, "refused")? } else { num(m, "rejected")? },
                },
            }),
            "control" => {
                let text = get(m, "messages")?;
                let messages: Option<_> = text.lines().map(RecordedControl::from_text).collect();
                let (time, lost) = (num(m, "time")?, num(m, "lost")?);
                Ok(Self::Control { time, region, segment: number, messages: messages.ok_or("messages")?, lost })
            }
            _ => Err("event"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_read_back() {
        let segment = Segment { region: "a b".into(), number: 3, session_id: 1 << 63, slots: 5, ..Segment::default() };
        let events = [
            RegionEvent::Begin { time: 5, segment, directory: (0..=255).collect(), continued: true },
            RegionEvent::Directory { region: "r".into(), segment: 1, at: 16, bytes: vec![0xAB; 32] },
            RegionEvent::End {
                time: u64::MAX,
                region: "r".into(),
                segment: 1,
                reason: EndReason::Died,
                counts: Counts { frames: 1, missed: 2, rejected: 3 },
            },
            RegionEvent::Control {
                time: 9,
                region: "r".into(),
                segment: 2,
                messages: vec![
                    RecordedControl { time: 7, reader_index: 3, reader_id: u64::MAX, ty: 0x3000, data: vec![0, 255] },
                    RecordedControl { time: 9, ..RecordedControl::default() },
                ],
                lost: 48,
            },
        ];
        for e in events {
            let mut m = e.to_map();
            assert_eq!(RegionEvent::from_map(&m).as_ref(), Ok(&e));
            let key = m.keys().next().unwrap().clone();
            m.insert(key, "zz".into());
            assert!(RegionEvent::from_map(&m).is_err());
        }
    }
}
