//! Regions that are recorded because of their names, also those that come later.

use crate::error::PatternError;
use regex_lite::Regex;
use shmx::{RegionChange, RegionEvents};
use std::time::{Duration, Instant};

/// Which regions are recorded besides those that are named: those that match one of the patterns, unless they match one
/// of the exceptions. In a pattern `*` stands for any characters and `?` for one; behind `re:` it is a regular
/// expression. Either way the whole name has to match.
///
/// ```
/// use shmx_record::Selection;
///
/// let mut cameras = Selection::default();
/// cameras.patterns.push("camera-*".into());
/// cameras.patterns.push("re:cam[0-9]+".into());
/// cameras.except.push("*-raw".into());
/// cameras.check()?;
/// assert!(cameras.has("camera-left") && !cameras.has("camera-left-raw") && !cameras.has("lidar"));
/// assert!(cameras.has("cam12") && !cameras.has("webcam12"));
/// # Ok::<(), shmx_record::error::PatternError>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selection {
    /// Patterns of names.
    pub patterns: Vec<String>,
    /// Patterns of names that are left out.
    pub except: Vec<String>,
}

/// What a regular expression begins with.
const REGEX: &str = "re:";

impl Selection {
    /// Whether a region of this name is recorded. A pattern that [`check`](Self::check) refuses matches nothing.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        let any = |patterns: &[String]| patterns.iter().any(|p| matches(p, name));
        any(&self.patterns) && !any(&self.except)
    }

    /// Checks the regular expressions among the patterns.
    ///
    /// # Errors
    ///
    /// The first one that makes no sense.
    pub fn check(&self) -> Result<(), PatternError> {
        for pattern in self.patterns.iter().chain(&self.except) {
            let Some(text) = pattern.strip_prefix(REGEX) else { continue };
            if let Err(e) = regex(text) {
                return Err(PatternError { pattern: pattern.clone(), why: e.to_string() });
            }
        }
        Ok(())
    }

    /// Those of `all` that are given, by name or pattern, in the order of `all`; all of them if nothing is given.
    ///
    /// ```
    /// # use shmx_record::Selection;
    /// let all = ["camera", "lidar", "lidar-raw"].map(String::from);
    /// assert_eq!(Selection::choose(&["lidar*".into()], &all), Ok(vec!["lidar", "lidar-raw"]));
    /// assert_eq!(Selection::choose(&["camera".into(), "re:r.*".into()], &all), Err("re:r.*"));
    /// ```
    ///
    /// # Errors
    ///
    /// The first one given that is none of them and matches none.
    pub fn choose<'a, 'b>(given: &'b [String], all: &'a [String]) -> Result<Vec<&'a str>, &'b str> {
        let mut chosen = vec![given.is_empty(); all.len()];
        for text in given {
            // One that has such a name is meant by it.
            let name = text.trim_start_matches('/');
            let is = |n: &String| n == name;
            let known = all.iter().any(is);
            let pattern = Self { patterns: vec![text.clone()], except: Vec::new() };
            let matching: Vec<usize> = all
                .iter()
                .enumerate()
                .filter(|(_, n)| if known { is(n) } else { pattern.has(n) })
                .map(|(i, _)| i)
                .collect();
            if matching.is_empty() {
                return Err(text);
            }
            matching.into_iter().for_each(|i| chosen[i] = true);
        }
        Ok(all.iter().zip(chosen).filter(|(_, chosen)| *chosen).map(|(n, _)| n.as_str()).collect())
    }

    /// Whether this is a pattern, and not the name of one region.
    #[must_use]
    pub fn is_pattern(text: &str) -> bool {
        text.starts_with(REGEX) || text.contains(['*', '?'])
    }
}

fn matches(pattern: &str, name: &str) -> bool {
    match pattern.strip_prefix(REGEX) {
        Some(text) => regex(text).is_ok_and(|r| r.is_match(name)),
        None => wildcard(pattern.trim_start_matches('/'), name),
    }
}

/// An expression for whole names, which takes time proportional to the name's length.
fn regex(text: &str) -> Result<Regex, regex_lite::Error> {
    // By itself first: `a)|(b` makes sense only in brackets.
    Regex::new(text)?;
    Regex::new(&format!("^(?:{text})$"))
}

/// Compares a name with a pattern of `*` and `?`, in time proportional to their lengths' product at most.
fn wildcard(pattern: &str, name: &str) -> bool {
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
    events: RegionEvents,
    next: Instant,
}

/// How often it looks.
const EVERY: Duration = Duration::from_millis(20);

impl Finder {
    pub(super) const fn new(events: RegionEvents, now: Instant) -> Self {
        Self { events, next: now }
    }

    /// Names that have come since the last look, known ones among them.
    pub(super) fn look(&mut self) -> Vec<String> {
        let mut found = Vec::new();
        if Instant::now() < self.next {
            return found;
        }
        while let Ok(Some(event)) = self.events.next(Duration::ZERO) {
            if matches!(event.change, RegionChange::Appeared | RegionChange::Replaced) {
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
            ("/a", "a", true),
            ("re:[a-c]+", "abc", true),
            ("re:[a-c]+", "abcd", false),
            ("re:a|ab", "ab", true),
            ("re:camera-(left|right)", "camera-right", true),
            ("re:", "a", false),
            // What is no expression matches nothing.
            ("re:(", "(", false),
            ("re:a)|(b", "a", false),
        ] {
            assert_eq!(matches(pattern, name), same, "{pattern} {name}");
        }
        // Many stars cost no time without bound, and neither does what makes other engines try everything.
        assert!(!matches(&"*a".repeat(100), &"a".repeat(99)));
        assert!(!matches("re:(a*)*b", &"a".repeat(200)));
    }

    #[test]
    fn an_expression_that_makes_no_sense_is_told() {
        let of = |text: &str| Selection { except: vec![text.into()], ..Selection::default() }.check();
        assert!(of("*(").is_ok() && of("re:a+").is_ok() && of("").is_ok());
        for bad in ["re:(", "re:a)|(b", "re:[z-a]", "re:*"] {
            let told = of(bad).unwrap_err().to_string();
            assert!(told.contains(bad) && told.contains("as in re:"), "{told}");
        }
        assert!(["a*", "?", "re:a"].iter().all(|p| Selection::is_pattern(p)) && !Selection::is_pattern("area:5"));
    }
}
