//! The keys under which bridges find and reach each other: the one place that builds and reads them.
//!
//! | key | what |
//! |---|---|
//! | `shmx/HOST/BRIDGE/region/NAME/SESSION` | presence of a region that is offered |
//! | `shmx/HOST/BRIDGE/offers` | a question: what is offered |
//! | `shmx/HOST/BRIDGE/attach` | a question: send me this region |
//! | `shmx/HOST/BRIDGE/to/PEER/ATTACHMENT` | frames for one peer |
//! | `shmx/HOST/BRIDGE/from/PEER/ATTACHMENT` | what that peer sends back |
//!
//! `HOST` is the origin's, which access control can name; `BRIDGE` and `PEER` are the numbers of processes. Bytes of a
//! region's name other than letters, digits, `-`, `_` and `.` are written as `%` and two digits.

use std::fmt::Write;

/// All keys begin with it.
pub const ROOT: &str = "shmx";

/// Asks all bridges what they offer.
pub const ALL_OFFERS: &str = "shmx/*/*/offers";
/// The presence of all regions.
pub const ALL_REGIONS: &str = "shmx/*/*/region/*/*";

/// Most bytes of a host's name.
const HOST_MAX: usize = 63;

/// Whether this may be the name of a host: letters, digits, `-`, `_` and `.`, at most 63.
///
/// ```
/// assert!(shmx_bridge::keys::is_host("robot-1.local"));
/// assert!(!shmx_bridge::keys::is_host("robot/1"));
/// ```
#[must_use]
pub fn is_host(host: &str) -> bool {
    (1..=HOST_MAX).contains(&host.len()) && host.bytes().all(is_plain)
}

const fn is_plain(b: u8) -> bool {
    b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.')
}

fn escape(name: &str) -> String {
    name.bytes().fold(String::with_capacity(name.len()), |mut s, b| {
        if is_plain(b) {
            s.push(char::from(b));
        } else {
            let _ = write!(s, "%{b:02X}");
        }
        s
    })
}

fn unescape(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, tail)) = rest.split_first() {
        if first == b'%' {
            let (digits, tail) = tail.split_at_checked(2)?;
            let digit = |b: u8| char::from(b).to_digit(16);
            bytes.push((digit(digits[0])? << 4 | digit(digits[1])?) as u8);
            rest = tail;
        } else {
            bytes.push(first);
            rest = tail;
        }
    }
    String::from_utf8(bytes).ok()
}

/// A bridge: the name of its host, and the number of its process.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Peer {
    /// Name of the host, by [`is_host`].
    pub host: String,
    /// Random for each process.
    pub id: u64,
}

impl Peer {
    fn key(&self, rest: std::fmt::Arguments<'_>) -> String {
        format!("{ROOT}/{}/{:016x}/{rest}", self.host, self.id)
    }

    /// Presence of a region.
    #[must_use]
    pub fn region(&self, name: &str, session: u64) -> String {
        self.key(format_args!("region/{}/{session:016x}", escape(name)))
    }

    /// Where it says what it offers.
    #[must_use]
    pub fn offers(&self) -> String {
        self.key(format_args!("offers"))
    }

    /// Where it is asked for a region.
    #[must_use]
    pub fn attach(&self) -> String {
        self.key(format_args!("attach"))
    }

    /// Where it sends frames for `peer`.
    #[must_use]
    pub fn to(&self, peer: u64, attachment: u64) -> String {
        self.key(format_args!("to/{peer:016x}/{attachment:016x}"))
    }

    /// Where `peer` sends back to it.
    #[must_use]
    pub fn from(&self, peer: u64, attachment: u64) -> String {
        self.key(format_args!("from/{peer:016x}/{attachment:016x}"))
    }

    /// All that peers send back to it.
    #[must_use]
    pub fn from_all(&self) -> String {
        self.key(format_args!("from/*/*"))
    }
}

/// A region that a bridge offers, as its presence names it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct OfferKey {
    /// Who offers it.
    pub peer: Peer,
    /// Name of the region there.
    pub region: String,
    /// Session of its server.
    pub session: u64,
}

fn number(text: &str) -> Option<u64> {
    // A sign would be taken, too.
    let digits = text.len() == 16 && text.bytes().all(|b| b.is_ascii_hexdigit());
    digits.then(|| u64::from_str_radix(text, 16).ok()).flatten()
}

/// The parts of a key behind the root, if it is one of ours.
fn parts(key: &str) -> Option<(Peer, Vec<&str>)> {
    let mut parts = key.split('/');
    if parts.next() != Some(ROOT) {
        return None;
    }
    let host = parts.next().filter(|h| is_host(h))?.to_owned();
    let id = number(parts.next()?)?;
    Some((Peer { host, id }, parts.collect()))
}

/// The bridge whose key this is.
#[must_use]
pub fn peer_of(key: &str) -> Option<Peer> {
    parts(key).map(|(peer, _)| peer)
}

/// Reads the key of a region's presence.
///
/// ```
/// use shmx_bridge::keys::{Peer, offer_of};
///
/// let peer = Peer { host: "robot".into(), id: 7 };
/// let offer = offer_of(&peer.region("a b", 9)).expect("it is one");
/// assert_eq!((offer.peer, offer.region.as_str(), offer.session), (peer, "a b", 9));
/// ```
#[must_use]
pub fn offer_of(key: &str) -> Option<OfferKey> {
    let (peer, rest) = parts(key)?;
    let ["region", name, session] = rest[..] else { return None };
    Some(OfferKey { peer, region: unescape(name)?, session: number(session)? })
}

/// Reads the peer and the attachment of a key under `from`.
#[must_use]
pub fn back_of(key: &str) -> Option<(u64, u64)> {
    let (_, rest) = parts(key)?;
    let ["from", peer, attachment] = rest[..] else { return None };
    Some((number(peer)?, number(attachment)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_come_back_whatever_they_are() {
        let peer = Peer { host: "h".into(), id: u64::MAX };
        for name in ["a", "a b", "ä*$?#/%41", "%", "..", "\u{1F980}"] {
            let key = peer.region(name, 1);
            assert!(key.bytes().all(|b| is_plain(b) || b == b'/' || b == b'%'), "{key}");
            assert_eq!(offer_of(&key).unwrap().region, name);
        }
        assert_eq!(back_of(&peer.from(3, 4)), Some((3, 4)));
    }

    #[test]
    fn foreign_keys_are_none() {
        for key in [
            "",
            "shmx",
            "shmx/h",
            "shmx/h/1/region/a/0000000000000001",
            "shmx/h//region/a/0000000000000001",
            "other/h/0000000000000001/region/a/0000000000000001",
            "shmx/h/0000000000000001/region/a",
            "shmx/h/0000000000000001/region/%4/0000000000000001",
            "shmx/h/0000000000000001/region/%FF/0000000000000001",
            "shmx/h h/0000000000000001/region/a/0000000000000001",
            "shmx/h/+000000000000001/region/a/0000000000000001",
        ] {
            assert_eq!(offer_of(key), None, "{key}");
        }
    }
}
