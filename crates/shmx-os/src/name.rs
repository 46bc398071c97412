//! The name of a shared-memory object, checked once.

use std::fmt;

use thiserror::Error;

/// Longest name in bytes, without the leading slash.
pub const NAME_MAX_LEN: usize = 254;

/// The checked name of a shared-memory object.
///
/// 1 to [`NAME_MAX_LEN`] bytes of UTF-8 without NUL; not `.` and not `..`. Further:
///
/// * On Unix one optional leading `/` is dropped, and there is no other. `"/camera"` and `"camera"` are one name: the
///   reference adds the slash where it is missing.
/// * On Windows the name is taken as given, as by the reference: `"/camera"` and `"camera"` are two names. It is matched
///   with case. The only backslash that may stand in it is that of a prefix: `Local\` is the session of the user,
///   which is also where names without a prefix lie; `Global\` is shared by all sessions, and creating there needs the
///   right `SeCreateGlobalPrivilege`, which services and administrators have.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RegionName(Box<str>);

impl RegionName {
    /// Checks `name`.
    ///
    /// # Errors
    ///
    /// [`NameError`] says which rule is broken.
    pub fn new(name: &str) -> Result<Self, NameError> {
        let bare = if cfg!(windows) { name } else { name.strip_prefix('/').unwrap_or(name) };
        if bare.is_empty() {
            return Err(NameError::Empty);
        }
        if bare.len() > NAME_MAX_LEN {
            return Err(NameError::TooLong { len: bare.len() });
        }
        if bare == "." || bare == ".." {
            return Err(NameError::Dots);
        }
        if bare.contains('/') && !cfg!(windows) {
            return Err(NameError::Slash);
        }
        if bare.contains('\0') {
            return Err(NameError::Nul);
        }
        if cfg!(windows) {
            let rest = &bare[namespace_of(bare).len()..];
            if rest.is_empty() {
                return Err(NameError::Empty);
            }
            if rest.contains('\\') {
                return Err(NameError::Backslash);
            }
        }
        Ok(Self(bare.into()))
    }

    /// The name; on Unix without the leading slash.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The prefix of its namespace, with the backslash.
    #[cfg(windows)]
    pub(crate) fn namespace(&self) -> &'static str {
        namespace_of(&self.0)
    }

    /// The name as `shm_open` takes it: with one leading slash.
    #[cfg(target_os = "macos")]
    pub(crate) fn posix_name(&self) -> String {
        format!("/{}", self.0)
    }
}

/// The namespace prefix of a Windows name.
fn namespace_of(name: &str) -> &'static str {
    ["Local\\", "Global\\"].into_iter().find(|prefix| name.starts_with(prefix)).unwrap_or("")
}

impl fmt::Debug for RegionName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("RegionName").field(&self.0).finish()
    }
}

/// Writes [`RegionName::as_str`].
impl fmt::Display for RegionName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::str::FromStr for RegionName {
    type Err = NameError;

    fn from_str(name: &str) -> Result<Self, NameError> {
        Self::new(name)
    }
}

/// Why a string is not a [`RegionName`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum NameError {
    /// Nothing is left after the optional leading slash (on Windows: after the namespace prefix).
    #[error("the region name is empty; give 1 to {NAME_MAX_LEN} bytes after the leading slash or prefix")]
    Empty,
    /// More than [`NAME_MAX_LEN`] bytes.
    #[error("the region name has {len} bytes; the system takes at most {NAME_MAX_LEN}, so choose a shorter one")]
    TooLong {
        /// Bytes in the name, without the leading slash.
        len: usize,
    },
    /// The name is `.` or `..`.
    #[error("`.` and `..` are directories, not region names; choose another name")]
    Dots,
    /// A slash after the leading one, on Unix.
    #[error("the region name holds a `/` after its start; region names are flat, so use another separator")]
    Slash,
    /// A NUL byte.
    #[error("the region name holds a NUL byte; remove it")]
    Nul,
    /// On Windows, a backslash that is not part of `Local\` or `Global\`.
    #[error("the region name holds a backslash; on Windows only the prefixes `Local\\` and `Global\\` may have one")]
    Backslash,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn good_names() {
        for (given, kept) in
            [("a", "a"), ("...", "..."), (".hidden", ".hidden"), ("sensor 1:left", "sensor 1:left"), ("größe", "größe")]
        {
            let name = RegionName::new(given).unwrap();
            assert_eq!(name.as_str(), kept);
            assert_eq!(name.to_string(), kept);
            assert_eq!(name, given.parse().unwrap());
        }
        assert!(RegionName::new(&"x".repeat(NAME_MAX_LEN)).is_ok());
    }

    #[cfg(unix)]
    #[test]
    fn one_leading_slash_is_dropped() {
        assert_eq!(RegionName::new("/a").unwrap().as_str(), "a");
        assert!(RegionName::new(&format!("/{}", "x".repeat(NAME_MAX_LEN))).is_ok());
        for (given, error) in [
            ("/", NameError::Empty),
            ("/..", NameError::Dots),
            ("//a", NameError::Slash),
            ("a/b", NameError::Slash),
            ("a/", NameError::Slash),
            ("../a", NameError::Slash),
        ] {
            assert_eq!(RegionName::new(given), Err(error), "{given:?}");
        }
    }

    #[test]
    fn bad_names() {
        for (given, error) in
            [("", NameError::Empty), (".", NameError::Dots), ("..", NameError::Dots), ("a\0b", NameError::Nul)]
        {
            assert_eq!(RegionName::new(given), Err(error), "{given:?}");
        }
        let long = "x".repeat(NAME_MAX_LEN + 1);
        assert_eq!(RegionName::new(&long), Err(NameError::TooLong { len: 255 }));
    }

    #[cfg(windows)]
    #[test]
    fn windows_names_are_taken_as_given() {
        for given in ["/a", "a/b", "a"] {
            assert_eq!(RegionName::new(given).unwrap().as_str(), given);
        }
        assert_eq!(RegionName::new("Global\\a").unwrap().namespace(), "Global\\");
        assert_eq!(RegionName::new("Locala").unwrap().namespace(), "");
        assert!(RegionName::new("Local\\a").is_ok());
        assert!(RegionName::new("Global\\a").is_ok());
        assert_eq!(RegionName::new("Local\\"), Err(NameError::Empty));
        assert_eq!(RegionName::new("a\\b"), Err(NameError::Backslash));
        assert_eq!(RegionName::new("Local\\a\\b"), Err(NameError::Backslash));
    }
}
