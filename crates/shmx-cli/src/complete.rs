//! What the shell offers while somebody types: regions and streams that are there.

use crate::escape::is_harmful;
use clap_complete::CompletionCandidate;
use std::ffi::OsStr;

/// Names that a shell can take as they are.
fn candidate(name: &str, typed: &OsStr) -> Option<CompletionCandidate> {
    let plain = !name.contains(|c: char| is_harmful(c) || c.is_whitespace() || "'\"\\`$".contains(c));
    (plain && name.starts_with(typed.to_str()?)).then(|| CompletionCandidate::new(name))
}

/// Names of regions.
pub(crate) fn regions(typed: &OsStr) -> Vec<CompletionCandidate> {
    let all = shmx::list().unwrap_or_default();
    let regions = all.iter().filter(|l| !matches!(l.kind, shmx::RegionKind::Foreign));
    regions.filter_map(|l| candidate(l.object.name.as_str(), typed)).collect()
}

/// Names of the streams of the region that is on the command line already.
pub(crate) fn streams(typed: &OsStr) -> Vec<CompletionCandidate> {
    let words = std::env::args().skip_while(|a| a != "--").skip(2);
    let region = words.filter(|w| !w.starts_with('-')).find_map(|w| shmx::Inspector::open(&w).ok());
    let Some(directory) = region.filter(shmx::Inspector::is_whole).and_then(|i| i.directory().ok()) else {
        return Vec::new();
    };
    directory.streams.iter().filter_map(|s| candidate(&s.name_lossy(), typed)).collect()
}
