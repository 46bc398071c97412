//! What a bridge tells of its work.

use crate::outcome::MirrorCounts;
use crate::relay::RelayCounts;
use serde::Serialize;
use shmx_record::escape::safe;
use std::fmt;

/// What has happened.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// A region is offered.
    Offered {
        /// Its name.
        region: String,
    },
    /// A region is not offered any more.
    Withdrawn {
        /// Its name.
        region: String,
    },
    /// A peer gets a region.
    Sending {
        /// The region.
        region: String,
        /// The peer's host.
        host: String,
    },
    /// A peer gets a region no more.
    Sent {
        /// The region.
        region: String,
        /// The peer's host.
        host: String,
        /// Why.
        reason: String,
        /// What it got.
        counts: RelayCounts,
    },
    /// A mirror is about to be made: told before there is a region, so that whoever clears up after this process knows of
    /// it in time.
    Making {
        /// Name of the mirror.
        mirror: String,
    },
    /// There is a mirror. Its region has just been made.
    Begun {
        /// Name of the mirror.
        mirror: String,
        /// Host of the origin.
        host: String,
        /// The region there.
        region: String,
    },
    /// A mirror has lost its origin, and waits for it.
    Silent {
        /// Name of the mirror.
        mirror: String,
        /// Why.
        reason: String,
    },
    /// It has its origin again.
    Back {
        /// Name of the mirror.
        mirror: String,
    },
    /// A mirror has ended.
    Over {
        /// Name of the mirror.
        mirror: String,
        /// Why.
        reason: String,
        /// What it was.
        counts: MirrorCounts,
    },
    /// A bridge refuses a region.
    Refused {
        /// The bridge's host.
        host: String,
        /// The region.
        region: String,
        /// What it says.
        text: String,
    },
    /// Something does not work, or was not accepted.
    Trouble {
        /// What it is about.
        about: String,
        /// What it is.
        what: String,
    },
}

fn frames(n: u64) -> String {
    format!("{n} frame{}", if n == 1 { "" } else { "s" })
}

impl Event {
    /// Whether it is told even when only errors are.
    #[must_use]
    pub const fn is_error(&self) -> bool {
        matches!(self, Self::Refused { .. } | Self::Trouble { .. })
    }
}

/// What other hosts wrote is made harmless for terminals.
impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = match self {
            Self::Offered { region } => format!("offers `{region}`"),
            Self::Withdrawn { region } => format!("offers `{region}` no more"),
            Self::Sending { region, host } => format!("sends `{region}` to {host}"),
            Self::Sent { region, host, reason, counts } => {
                format!("sends `{region}` to {host} no more: {reason}; {} sent", frames(counts.sent))
            }
            Self::Making { mirror } => format!("makes `{mirror}`"),
            Self::Begun { mirror, host, region } => format!("`{mirror}` mirrors `{region}` of {host}"),
            Self::Silent { mirror, reason } => format!("`{mirror}` has lost its origin: {reason}"),
            Self::Back { mirror } => format!("`{mirror}` has its origin again"),
            Self::Over { mirror, reason, counts: c } => {
                let (published, missed, rejected) = (frames(c.published), c.missed, c.rejected);
                format!("`{mirror}` has ended: {reason}; {published}, {missed} missed, {rejected} rejected")
            }
            Self::Refused { host, region, text } => format!("{host} refuses `{region}`: {text}"),
            Self::Trouble { about, what } => format!("{about}: {what}"),
        };
        f.write_str(&safe(&text))
    }
}

/// A mirror as it is now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct MirrorStatus {
    /// Name of the region.
    pub mirror: String,
    /// Host of the origin.
    pub host: String,
    /// The region there.
    pub region: String,
    /// Whether the origin is heard.
    pub linked: bool,
    /// Id of the origin's frame with which counting began: from it on, each is in `counts`.
    pub origin_first: u64,
    /// Id of the origin's frame that came last; one less than `origin_first` before the first.
    pub origin_id: u64,
    /// Frames that the origin had published when it was heard last.
    pub origin_published: u64,
    /// Counts.
    pub counts: MirrorCounts,
    /// Nanoseconds by which the origin's clock is ahead; absent if that is not known.
    pub clock_ahead_ns: Option<i64>,
    /// The most by which that is wrong.
    pub clock_error_ns: Option<u64>,
    /// Age of the last frame when it was published here, by that estimate; absent without it.
    pub age_ns: Option<u64>,
}

/// A region on its way to a peer, as it is now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct RelayStatus {
    /// The region.
    pub region: String,
    /// The peer's host.
    pub host: String,
    /// Counts.
    pub counts: RelayCounts,
}

/// All that a bridge does now.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Status {
    /// Regions that are offered.
    pub offers: Vec<String>,
    /// What is sent to whom.
    pub sending: Vec<RelayStatus>,
    /// Mirrors.
    pub mirrors: Vec<MirrorStatus>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_other_hosts_write_steers_no_terminal() {
        let event =
            Event::Refused { host: "h".into(), region: "r\u{1b}[2J".into(), text: "no\nshmx: all is well".into() };
        assert_eq!(event.to_string(), "h refuses `r\\u{1b}[2J`: no\\nshmx: all is well");
    }
}
