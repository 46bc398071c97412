//! Which names are meant: names, and patterns of names.

use serde::Deserialize;

/// Names or patterns: `*` stands for any characters, `?` for one byte.
///
/// ```
/// use shmx_bridge::Patterns;
///
/// let some = Patterns::new(["camera", "lidar-*"]);
/// assert!(some.matches("camera") && some.matches("lidar-front") && !some.matches("camera2"));
/// assert!(!Patterns::default().matches("camera"), "nothing is allowed that is not named");
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct Patterns(Vec<String>);

impl Patterns {
    /// These names and patterns; a leading `/` is dropped, as in names of regions.
    pub fn new<T: Into<String>>(patterns: impl IntoIterator<Item = T>) -> Self {
        Self(patterns.into_iter().map(Into::into).collect())
    }

    /// Whether one of them matches the whole name.
    #[must_use]
    pub fn matches(&self, name: &str) -> bool {
        self.0.iter().any(|p| glob(p.trim_start_matches('/').as_bytes(), name.as_bytes()))
    }

    /// Whether there are none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Takes time in proportion to the product of both lengths at most.
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
    use super::glob;

    #[test]
    fn patterns_match_whole_names() {
        for (pattern, name) in [("a", "a"), ("*", ""), ("a*", "a"), ("a*c", "abbc"), ("a?c", "abc"), ("*b*b", "abcb")] {
            assert!(glob(pattern.as_bytes(), name.as_bytes()), "{pattern} {name}");
        }
        for (pattern, name) in [("a", "ab"), ("a", "b"), ("a*c", "abcd"), ("?", ""), ("", "a"), ("*b", "ba")] {
            assert!(!glob(pattern.as_bytes(), name.as_bytes()), "{pattern} {name}");
        }
    }
}
