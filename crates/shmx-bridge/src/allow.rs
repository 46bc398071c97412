//! Which names are meant: names, and patterns of names.

use serde::Deserialize;
use shmx_record::Selection;
use shmx_record::error::PatternError;

/// Names or patterns, as the recorder's: `*` stands for any characters, `?` for one; behind `re:` is a regular
/// expression.
///
/// ```
/// use shmx_bridge::Patterns;
///
/// let some = Patterns::new(["camera", "lidar-*"]);
/// assert!(some.matches("camera") && some.matches("lidar-front") && !some.matches("camera2"));
/// assert!(!Patterns::default().matches("camera"), "nothing is allowed that is not named");
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(from = "Vec<String>")]
pub struct Patterns(Selection);

impl Patterns {
    /// These names and patterns; a leading `/` is dropped, as in names of regions.
    pub fn new<T: Into<String>>(patterns: impl IntoIterator<Item = T>) -> Self {
        Self(Selection { patterns: patterns.into_iter().map(Into::into).collect(), except: Vec::new() })
    }

    /// Whether one of them matches the whole name.
    #[must_use]
    pub fn matches(&self, name: &str) -> bool {
        self.0.has(name)
    }

    /// Checks the regular expressions among them; one that makes no sense matches nothing.
    ///
    /// # Errors
    ///
    /// The first one that makes no sense.
    pub fn check(&self) -> Result<(), PatternError> {
        self.0.check()
    }

    /// Each as it was given.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.patterns.iter().map(String::as_str)
    }

    /// Those that match none of these names.
    pub(crate) fn in_vain(&self, names: &[String]) -> Vec<String> {
        let idle = |p: &&str| !names.iter().any(|name| Self::new([*p]).matches(name));
        self.iter().filter(idle).map(str::to_owned).collect()
    }

    /// Whether there are none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.0.patterns.is_empty()
    }
}

impl From<Vec<String>> for Patterns {
    fn from(patterns: Vec<String>) -> Self {
        Self::new(patterns)
    }
}
