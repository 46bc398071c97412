//! What becomes of a region, as a message: `shmx.Lifecycle`, a list of keys and values.

use super::region::{Map, RegionEvent};
use crate::pb::{Reader, Value, Writer};

/// Field numbers of `shmx.Lifecycle` and `shmx.Fact`.
pub(crate) mod fact {
    pub(crate) const FACTS: u32 = 1;
    pub(crate) const KEY: u32 = 1;
    pub(crate) const VALUE: u32 = 2;
}

/// The channel of a region's lifecycle, behind the region's own topic.
pub(crate) const LIFECYCLE: &str = "shmx.lifecycle";

/// Which recording a file belongs to, and where in it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Identity {
    /// Of the recording, the same in all its files.
    pub(crate) recording: String,
    /// The file's number in it, from 1.
    pub(crate) file: u32,
}

impl Identity {
    /// What a map says, if it says so.
    pub(crate) fn of(map: &Map) -> Option<Self> {
        Some(Self { recording: map.get("recording")?.clone(), file: map.get("file")?.parse().ok()? })
    }
}

/// An event as a message.
pub(crate) fn encode(event: &RegionEvent, identity: &Identity, out: &mut Vec<u8>) {
    out.clear();
    let mut map = event.to_map();
    map.insert("recording".into(), identity.recording.clone());
    map.insert("file".into(), identity.file.to_string());
    for (key, value) in &map {
        let mut inner = Vec::with_capacity(key.len() + value.len() + 8);
        let mut w = Writer(&mut inner);
        w.bytes(fact::KEY, key.as_bytes());
        w.bytes(fact::VALUE, value.as_bytes());
        Writer(out).bytes(fact::FACTS, &inner);
    }
}

/// The keys and values of a message; `None` if it is damaged.
pub(crate) fn decode(message: &[u8]) -> Option<Map> {
    let mut map = Map::new();
    for field in Reader(message) {
        let (fact::FACTS, Value::Bytes(inner)) = field.ok()? else { continue };
        let (mut key, mut value) = (String::new(), String::new());
        for field in Reader(inner) {
            match field.ok()? {
                (fact::KEY, Value::Bytes(b)) => key = String::from_utf8(b.to_vec()).ok()?,
                (fact::VALUE, Value::Bytes(b)) => value = String::from_utf8(b.to_vec()).ok()?,
                _ => {}
            }
        }
        map.insert(key, value);
    }
    Some(map)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_reads_back_with_its_recording() {
        let event = RegionEvent::Directory { region: "a b".into(), segment: 1, at: 16, bytes: vec![0xAB; 300] };
        let identity = Identity { recording: "7f".into(), file: 3 };
        let mut out = Vec::new();
        encode(&event, &identity, &mut out);
        let map = decode(&out).unwrap();
        assert_eq!((RegionEvent::from_map(&map), Identity::of(&map)), (Ok(event), Some(identity)));
        for cut in 0..out.len() {
            let _ = decode(&out[..cut]);
        }
    }
}
