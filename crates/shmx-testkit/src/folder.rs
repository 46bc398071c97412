//! Folders for a test's files.

use std::path::{Path, PathBuf};

/// An empty folder among the machine's temporary ones. It and what is in it go with the value.
#[derive(Debug)]
pub struct Folder(PathBuf);

impl Folder {
    /// A new one, with `tag` in its name.
    ///
    /// # Panics
    ///
    /// If it cannot be made.
    #[must_use]
    pub fn new(tag: &str) -> Self {
        let path = std::env::temp_dir().join(crate::unique(tag));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    /// Where it is.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.0
    }

    /// Where a file in it is, or would be.
    #[must_use]
    pub fn file(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// The same as text, for a command line.
    ///
    /// # Panics
    ///
    /// If the machine's temporary folder is no text.
    #[must_use]
    pub fn path(&self, name: &str) -> String {
        self.file(name).into_os_string().into_string().unwrap()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
