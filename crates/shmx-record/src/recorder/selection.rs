//! Regions that are recorded because of their names, also those that come later.

use shmx::{RegionChange, RegionEvents};
use std::time::{Duration, Instant};

/// Which regions are recorded besides those that are named: those that match one of the patterns, unless they match one
/// of the exceptions. In a pattern `*` stands for any characters and `?` for one.
///
/// ```
/// use shmx_record::Selection;
///
/// let mut cameras = Selection::default();
/// cameras.patterns.push("camera-*".into());
/// cameras.except.push("*-raw".into());
/// assert!(cameras.has("camera-left") && !cameras.has("camera-left-raw") && !cameras.has("lidar"));
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selection {
    /// Patterns of names.
    pub patterns: Vec<String>,
    /// Patterns of names that are left out.
    pub except: Vec<String>,
}

impl Selection {
    /// Whether a region of this name is recorded.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        let any = |patterns: &[String]| patterns.iter().any(|p| matches(p.trim_start_matches('/'), name));
        any(&self.patterns) && !any(&self.except)
    }
}

/// Compares a name with a pattern, in time proportional to their lengths' product at most.
fn matches(pattern: &str, name: &str) -> bool {
    let (pattern, name): (Vec<char>, Vec<char>) = (pattern.chars().collect(), name.chars().collect());
    let (mut p, mut n) = (0, 0);
    // Behind the last star, and the place in the name up to which that star reaches.
    let mut star: Option<(usize, usize)> = None;
    while n < name.len() {
        match pattern.get(p) {
            Some('*') => {
                star = Some((p + 1, n));
                p += 1;
            }
            Some(&c) if c == '?' || c == name[n] => (p, n) = (p + 1, n + 1),
            _ => match &mut star {
                Some((behind, upto)) => {
                    *upto += 1;
                    (p, n) = (*behind, *upto);
                }
                None => return false,
            },
        }
    }
    pattern[p..].iter().all(|&c| c == '*')
}

/// Finds the regions of a selection as they come.
pub(super) struct Finder {
    selection: Selection,
    events: RegionEvents,
    next: Instant,
}

/// How often it looks.
const EVERY: Duration = Duration::from_millis(20);

impl Finder {
    pub(super) const fn new(selection: Selection, events: RegionEvents, now: Instant) -> Self {
        Self { selection, events, next: now }
    }

    /// Names that have come since the last look, known ones among them.
    pub(super) fn look(&mut self) -> Vec<String> {
        let mut found = Vec::new();
        if Instant::now() < self.next {
            return found;
        }
        while let Ok(Some(event)) = self.events.next(Duration::ZERO) {
            let there = matches!(event.change, RegionChange::Appeared | RegionChange::Replaced);
            if there && self.selection.has(&event.name) {
                found.push(event.name);
            }
        }
        self.next = Instant::now() + EVERY;
        found
    }

    /// When it looks again.
    pub(super) fn pause(&self) -> Duration {
        self.next.saturating_duration_since(Instant::now())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_are_compared_with_whole_names() {
        for (pattern, name, same) in [
            ("*", "", true),
            ("*", "any", true),
            ("a", "a", true),
            ("a", "ab", false),
            ("a*", "ab", true),
            ("*b", "aab", true),
            ("a*b*c", "a-b-b-c", true),
            ("a*b*c", "a-c-b", false),
            ("?", "é", true),
            ("??", "a", false),
            ("**a", "ba", true),
            ("[a]", "a", false),
        ] {
            assert_eq!(matches(pattern, name), same, "{pattern} {name}");
        }
        // Many stars cost no time without bound.
        assert!(!matches(&"*a".repeat(100), &"a".repeat(99)));
    }
}
