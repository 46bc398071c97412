//! The name of a shared-memory object, checked once.

use std::fmt;

use thiserror::Error;

/// Longest name in bytes, without the leading slash.
pub const NAME_MAX_LEN: usize = 254;

/// The checked name of a shared-memory object.
///
/// Rules: one optional leading `/`, which is dropped; then 1 to [`NAME_MAX_LEN`] bytes of UTF-8 without `/` and
/// without NUL; not `.` and not `..`. On Windows the prefixes `Local\` and `Global\` are allowed, and no other
/// backslash.
///
/// `"/camera"` and `"camera"` are therefore one name. On Unix this is the reference's rule too (it adds the slash
/// where it is missing). On Windows the reference takes the name as given, so there a peer's `"/camera"` is not
/// reachable by this type.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RegionName(Box<str>);

impl RegionName {
    /// Checks `name`.
    ///
    /// # Errors
    ///
    /// [`NameError`] says which rule is broken.
    pub fn new(name: &str) -> Result<Self, NameError> {
        let bare = name.strip_prefix('/').unwrap_or(name);
        if bare.is_empty() {
            return Err(NameError::Empty);
        }
        if bare.len() > NAME_MAX_LEN {
            return Err(NameError::TooLong { len: bare.len() });
        }
        if bare == "." || bare == ".." {
            return Err(NameError::Dots);
        }
        if bare.contains('/') {
            return Err(NameError::Slash);
        }
        if bare.contains('\0') {
            return Err(NameError::Nul);
        }
        if cfg!(windows) {
            let rest = bare.strip_prefix("Local\\").or_else(|| bare.strip_prefix("Global\\")).unwrap_or(bare);
            if rest.is_empty() {
                return Err(NameError::Empty);
            }
            if rest.contains('\\') {
                return Err(NameError::Backslash);
            }
        }
        Ok(Self(bare.into()))
    }

    /// The name without the leading slash.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The name as `shm_open` takes it: with one leading slash.
    #[cfg(any(target_os = "linux", target_os = "macos"))]
    pub(crate) fn posix_name(&self) -> String {
        format!("/{}", self.0)
    }

    /// The file that `shm_open` leads to.
    #[cfg(target_os = "linux")]
    pub(crate) fn os_path(&self) -> std::path::PathBuf {
        // `self.0` holds no slash and is neither `.` nor `..`, so the result stays in that directory.
        std::path::Path::new(crate::sys::DIRECTORY).join(self.as_str())
    }
}

impl fmt::Debug for RegionName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("RegionName").field(&self.0).finish()
    }
}

/// Writes the name without the leading slash.
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
    /// Nothing is left after the optional leading slash (or, on Windows, after the namespace prefix).
    #[error("the region name is empty; give 1 to {NAME_MAX_LEN} bytes after the optional leading slash")]
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
    /// A slash after the leading one.
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
        for (given, kept) in [
            ("a", "a"),
            ("/a", "a"),
            ("...", "..."),
            (".hidden", ".hidden"),
            ("/sensor 1:left", "sensor 1:left"),
            ("größe", "größe"),
        ] {
            let name = RegionName::new(given).unwrap();
            assert_eq!(name.as_str(), kept);
            assert_eq!(name.to_string(), kept);
            assert_eq!(name, given.parse().unwrap());
        }
        assert!(RegionName::new(&"x".repeat(NAME_MAX_LEN)).is_ok());
        assert!(RegionName::new(&format!("/{}", "x".repeat(NAME_MAX_LEN))).is_ok());
    }

    #[test]
    fn bad_names() {
        for (given, error) in [
            ("", NameError::Empty),
            ("/", NameError::Empty),
            (".", NameError::Dots),
            ("..", NameError::Dots),
            ("/..", NameError::Dots),
            ("//a", NameError::Slash),
            ("a/b", NameError::Slash),
            ("a/", NameError::Slash),
            ("../a", NameError::Slash),
            ("a\0b", NameError::Nul),
        ] {
            assert_eq!(RegionName::new(given), Err(error), "{given:?}");
        }
        let long = "x".repeat(NAME_MAX_LEN + 1);
        assert_eq!(RegionName::new(&long), Err(NameError::TooLong { len: 255 }));
    }

    #[cfg(windows)]
    #[test]
    fn windows_namespaces() {
        assert!(RegionName::new("Local\\a").is_ok());
        assert!(RegionName::new("Global\\a").is_ok());
        assert_eq!(RegionName::new("Local\\"), Err(NameError::Empty));
        assert_eq!(RegionName::new("a\\b"), Err(NameError::Backslash));
        assert_eq!(RegionName::new("Local\\a\\b"), Err(NameError::Backslash));
    }
}
