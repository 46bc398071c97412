//! Files that commands write, whatever has their name already.

use crate::common::interruptible;
use crate::exit;
use anyhow::{Context, anyhow};
use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// What a path leads to, and so how it is written.
enum Target {
    /// A regular file, or none yet: written beside it and renamed, so that it is whole or as it was.
    Replaced(PathBuf),
    /// A pipe, a device, or a link to a file that is not there: written through.
    Opened(PathBuf),
}

impl Target {
    fn of(path: &Path) -> io::Result<Self> {
        match std::fs::metadata(path) {
            // The file itself, behind all links: a link stays one.
            Ok(m) if m.is_file() => Ok(Self::Replaced(std::fs::canonicalize(path)?)),
            Ok(m) if m.is_dir() => Err(io::ErrorKind::IsADirectory.into()),
            Ok(_) => Ok(Self::Opened(path.to_owned())),
            Err(e) if e.kind() != io::ErrorKind::NotFound => Err(e),
            Err(_) if std::fs::symlink_metadata(path).is_ok() => Ok(Self::Opened(path.to_owned())),
            Err(_) => Ok(Self::Replaced(path.to_owned())),
        }
    }
}

/// Removes what was not finished.
struct Part(Option<PathBuf>);

impl Drop for Part {
    fn drop(&mut self) {
        if let Some(path) = self.0.take() {
            let _ = std::fs::remove_file(path);
        }
    }
}

fn options(mode: u32) -> OpenOptions {
    let mut options = OpenOptions::new();
    options.write(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, mode);
    let _ = mode;
    options
}

/// Whether a path leads to one of these files, which must not be written while they are read.
pub(crate) fn is_one_of(path: &Path, files: &[PathBuf]) -> bool {
    #[cfg(unix)]
    let id = |path: &Path| {
        use std::os::unix::fs::MetadataExt;
        std::fs::metadata(path).ok().map(|m| (m.dev(), m.ino()))
    };
    #[cfg(not(unix))]
    let id = |path: &Path| path.canonicalize().ok();
    id(path).is_some_and(|it| files.iter().any(|f| id(f).as_ref() == Some(&it)))
}

/// Writes a file with what `fill` writes. A regular file is replaced once all of it is written; a new one has these
/// permission bits, less the umask. Links are followed, pipes and devices written to, and never replaced.
pub(crate) fn write(path: &Path, mode: u32, fill: impl FnOnce(&mut File) -> anyhow::Result<()>) -> anyhow::Result<()> {
    let shown = path.display().to_string();
    let cannot = || format!("cannot write `{shown}`");
    match Target::of(path).with_context(cannot)? {
        Target::Opened(path) => {
            // Opening a pipe waits for its reader.
            let open = move || options(mode).create(!path.exists()).open(path);
            let Some(file) = interruptible(open) else { return Err(exit::interrupted("nothing was written")) };
            let mut file = file.with_context(cannot)?;
            fill(&mut file).with_context(cannot)
        }
        Target::Replaced(real) => {
            let mut name = real.file_name().ok_or_else(|| anyhow!("`{shown}` names no file"))?.to_owned();
            name.push(format!(".part-{}", std::process::id()));
            let part = real.with_file_name(name);
            let mut file = options(mode).create_new(true).open(&part).with_context(cannot)?;
            let mut unfinished = Part(Some(part.clone()));
            fill(&mut file).with_context(cannot)?;
            file.flush().with_context(cannot)?;
            // Somebody may have put something else there meanwhile.
            let other = |m: Metadata| !m.is_file();
            if std::fs::symlink_metadata(&real).is_ok_and(other) {
                return Err(anyhow!("`{shown}` has become something else than a file; choose another place"));
            }
            std::fs::rename(&part, &real).with_context(cannot)?;
            unfinished.0 = None;
            Ok(())
        }
    }
}
