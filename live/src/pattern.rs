//! Names of regions, or patterns of names.

use shmx_record::Selection;
use std::net::{IpAddr, SocketAddr};

/// A name or a pattern, as it is given.
pub(crate) fn pattern(text: &str) -> Result<String, String> {
    if text.is_empty() {
        return Err("give the name of a region, or a pattern".to_owned());
    }
    if text.parse::<SocketAddr>().is_ok() || text.parse::<IpAddr>().is_ok() {
        return Err("an address goes with an option: --listen ADDR or --foxglove=ADDR".to_owned());
    }
    let given = Selection { patterns: vec![text.to_owned()], except: Vec::new() };
    given.check().map(|()| text.to_owned()).map_err(|e| e.to_string())
}

/// Which regions are shown.
#[derive(Clone, Debug)]
pub(crate) struct Patterns(Selection);

impl Patterns {
    /// All regions, if there are none.
    pub(crate) fn new(names: &[String]) -> Self {
        let patterns = names.iter().map(|n| n.trim_start_matches('/').to_owned()).collect();
        Self(Selection { patterns, except: Vec::new() })
    }

    pub(crate) fn matches(&self, name: &str) -> bool {
        self.0.patterns.is_empty() || self.0.has(name)
    }

    /// Names that are no patterns: they are shown also while there is no such region.
    pub(crate) fn plain(&self) -> impl Iterator<Item = &str> {
        self.0.patterns.iter().map(String::as_str).filter(|p| !Selection::is_pattern(p))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_whole_names() {
        let matches = |pattern: &str, name| Patterns::new(&[pattern.into()]).matches(name);
        for (pattern, name) in [
            ("a", "a"),
            ("*", ""),
            ("*", "x/y"),
            ("a*", "a"),
            ("a*c", "abbc"),
            ("a?c", "abc"),
            ("*b*b", "abcb"),
            ("**", "a"),
            ("re:a|ab", "ab"),
        ] {
            assert!(matches(pattern, name), "{pattern} {name}");
        }
        for (pattern, name) in [("a", "ab"), ("a", "b"), ("a*c", "abcd"), ("?", ""), ("", "a"), ("*b", "ba")] {
            assert!(!matches(pattern, name), "{pattern} {name}");
        }
    }

    #[test]
    fn what_is_no_pattern_is_told() {
        assert_eq!(pattern("a*"), Ok("a*".into()));
        assert!(pattern("").is_err());
        for address in ["127.0.0.1:8765", "::1", "[::1]:80"] {
            assert!(pattern(address).is_err_and(|e| e.contains("--foxglove=ADDR")), "{address}");
        }
        assert!(pattern("re:(").is_err_and(|e| e.contains("`re:(` is not a pattern")));
    }

    #[test]
    fn no_pattern_is_every_region() {
        assert!(Patterns::new(&[]).matches("x"));
        let some = Patterns::new(&["/cam".into(), "robot-*".into()]);
        assert!(some.matches("cam") && some.matches("robot-7") && !some.matches("other"));
        assert_eq!(some.plain().collect::<Vec<_>>(), ["cam"]);
    }
}
