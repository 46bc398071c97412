//! What a watch of names tells, and how it learns of it.

use std::collections::BTreeMap;

use crate::name::RegionName;

/// How a [`NameWatch`](crate::NameWatch) learns of changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum NameWatchKind {
    /// The kernel tells (inotify).
    Events,
    /// The list of objects is read again every 20 ms. A name that goes and comes back in between may be missed; on
    /// Windows it is, unless the object's length has changed.
    Polling,
}

/// What [`NameWatch::next`](crate::NameWatch::next) learned.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum NameChanges {
    /// Something happened to these names, each told once. What it was, and whether it still is so, is for the caller to
    /// find out.
    Names(Vec<RegionName>),
    /// Something may have happened to any name: there was too much to keep.
    Any,
}

impl NameChanges {
    /// Whether something may have happened to this name.
    #[must_use]
    pub fn touch(&self, name: &RegionName) -> bool {
        match self {
            Self::Names(names) => names.contains(name),
            Self::Any => true,
        }
    }
}

/// The names that only one of two listings has, or that lead to different things.
pub(crate) fn differing(one: &BTreeMap<RegionName, u64>, other: &BTreeMap<RegionName, u64>) -> Vec<RegionName> {
    let not_in = |one: &BTreeMap<RegionName, u64>, other: &BTreeMap<RegionName, u64>| -> Vec<RegionName> {
        one.iter().filter(|(name, what)| other.get(*name) != Some(*what)).map(|(name, _)| name.clone()).collect()
    };
    let mut names = not_in(one, other);
    names.extend(not_in(other, one));
    names.sort();
    names.dedup();
    names
}
