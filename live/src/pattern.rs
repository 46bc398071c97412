//! Names of regions, or patterns of names.

/// Which regions are shown.
#[derive(Clone, Debug)]
pub(crate) struct Patterns(Vec<String>);

impl Patterns {
    /// All regions, if there are none.
    pub(crate) fn new(names: &[String]) -> Self {
        Self(names.iter().map(|n| n.trim_start_matches('/').to_owned()).collect())
    }

    pub(crate) fn matches(&self, name: &str) -> bool {
        self.0.is_empty() || self.0.iter().any(|p| glob(p.as_bytes(), name.as_bytes()))
    }

    /// Names that are no patterns: they are shown also while there is no such region.
    pub(crate) fn plain(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(String::as_str).filter(|p| !p.contains(['*', '?']))
    }
}

/// `*` stands for any characters, `?` for one byte. Takes time in proportion to both lengths at most.
fn glob(pattern: &[u8], name: &[u8]) -> bool {
    let (mut p, mut n) = (0, 0);
    // The last star, and where in the name it was tried to end.
    let mut back = None;
    while n < name.len() {
        match pattern.get(p) {
            Some(b'*') => {
                back = Some((p, n));
                p += 1;
            }
            Some(&c) if c == b'?' || c == name[n] => (p, n) = (p + 1, n + 1),
            _ => match &mut back {
                Some((star, from)) => {
                    *from += 1;
                    (p, n) = (*star + 1, *from);
                }
                None => return false,
            },
        }
    }
    pattern[p..].iter().all(|&c| c == b'*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_whole_names() {
        for (pattern, name) in [
            ("a", "a"),
            ("*", ""),
            ("*", "x/y"),
            ("a*", "a"),
            ("a*c", "abbc"),
            ("a?c", "abc"),
            ("*b*b", "abcb"),
            ("**", "a"),
        ] {
            assert!(glob(pattern.as_bytes(), name.as_bytes()), "{pattern} {name}");
        }
        for (pattern, name) in [("a", "ab"), ("a", "b"), ("a*c", "abcd"), ("?", ""), ("", "a"), ("*b", "ba")] {
            assert!(!glob(pattern.as_bytes(), name.as_bytes()), "{pattern} {name}");
        }
    }

    #[test]
    fn no_pattern_is_every_region() {
        assert!(Patterns::new(&[]).matches("x"));
        let some = Patterns::new(&["/cam".into(), "robot-*".into()]);
        assert!(some.matches("cam") && some.matches("robot-7") && !some.matches("other"));
        assert_eq!(some.plain().collect::<Vec<_>>(), ["cam"]);
    }
}
