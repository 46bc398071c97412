//! One error type per operation. Each keeps the operating system's code as its source and names the step.

use std::io;

use thiserror::Error;

use crate::name::RegionName;
use crate::owner::Owner;

/// An operation on an open object failed.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum OsError {
    /// A system call failed; `source` has the code.
    #[error("cannot {step}: {source}{}", remedy(source))]
    Os {
        /// What was being done, as a verb phrase.
        step: &'static str,
        /// The system's answer.
        source: io::Error,
    },
    /// The object was opened before this process was forked off its parent.
    #[error(
        "cannot {step}: the object was opened before a fork and belongs to the parent; open it again in this process"
    )]
    Forked {
        /// What was asked for, as a verb phrase.
        step: &'static str,
    },
    /// The platform or this kernel cannot do it.
    #[error("this platform cannot {step}; do without it")]
    Unsupported {
        /// What was asked for, as a verb phrase.
        step: &'static str,
    },
}

impl OsError {
    pub(crate) fn os(step: &'static str, source: impl Into<io::Error>) -> Self {
        Self::Os { step, source: source.into() }
    }
}

/// What to do about an answer of the system, where there is something; it begins with `; `.
fn remedy(source: &io::Error) -> &'static str {
    /// Too many open files, of this process and of all.
    const MFILE: Option<i32> = Some(24);
    const NFILE: Option<i32> = Some(23);
    match source.kind() {
        io::ErrorKind::ReadOnlyFilesystem => "; shared memory is mounted read-only: mount -o remount,rw /dev/shm",
        io::ErrorKind::StorageFull => {
            "; there is no room for another object: remove some, or give the file system more inodes \
             (mount -o remount,nr_inodes=100k /dev/shm)"
        }
        io::ErrorKind::QuotaExceeded => "; the user's quota of shared memory is used up: remove objects",
        io::ErrorKind::OutOfMemory => "; free some memory, or raise the limit (`ulimit -v`, `ulimit -l`)",
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => {
            "; shared memory is not mounted: mount -t tmpfs -o mode=1777 tmpfs /dev/shm"
        }
        _ if cfg!(unix) && source.raw_os_error() == MFILE => {
            "; this process has too many files open: raise `ulimit -n`"
        }
        _ if cfg!(unix) && source.raw_os_error() == NFILE => {
            "; this machine has too many files open: raise fs.file-max"
        }
        _ => "",
    }
}

/// As in ` (user 0, group 0, mode 0600)`; empty if it is not known.
fn owner_text(owner: Option<Owner>) -> String {
    owner.map(|o| format!(" (user {}, group {}, mode {:04o})", o.uid, o.gid, o.mode)).unwrap_or_default()
}

/// [`Pending::create`](crate::Pending::create) failed. Nothing was left behind.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum CreateError {
    /// The length is zero or more than this machine can address.
    #[error("a shared-memory object of {len} bytes cannot be made; ask for 1 to {limit} bytes")]
    InvalidLength {
        /// Bytes asked for.
        len: u64,
        /// Most bytes that can be asked for.
        limit: u64,
    },
    /// The mode has bits other than the nine permission bits.
    #[error("file mode {mode:#o} has bits beyond the permissions; use 0 to 0o777, for example 0o600")]
    InvalidMode {
        /// The mode asked for.
        mode: u32,
    },
    /// The shared-memory filesystem or the memory behind it has too little room.
    #[error(
        "{needed} bytes of shared memory are needed but {available} are available; ask for less, remove unused \
         objects, or enlarge the shared-memory filesystem (on Linux: /dev/shm, in a container --shm-size)"
    )]
    NoSpace {
        /// Bytes asked for.
        needed: u64,
        /// Bytes free when the question was asked. It can exceed `needed` when a quota, a memory limit or another
        /// process took the room.
        available: u64,
    },
    /// The process's own limit on file sizes (`RLIMIT_FSIZE`) is too low.
    #[error("{needed} bytes are needed but this process may make files of at most {limit}; raise `ulimit -f`")]
    FileSizeLimit {
        /// Bytes asked for.
        needed: u64,
        /// The limit, in bytes.
        limit: u64,
    },
    /// The process may not create objects.
    #[error(
        "no permission to create shared-memory objects{}; the directory's usual mode is 1777 (chmod 1777 /dev/shm), and \
         a confined program needs a rule for its names",
        owner_text(*directory)
    )]
    PermissionDenied {
        /// The system's answer.
        source: io::Error,
        /// Whose the shared-memory directory is, where the platform tells.
        directory: Option<Owner>,
    },
    /// A control group has too little memory left: going on would end the process.
    #[error(
        "{needed} bytes of shared memory are needed but the control group `{group}` has {available} left; ask for less, \
         or raise its memory limit"
    )]
    MemoryLimit {
        /// Bytes asked for.
        needed: u64,
        /// Bytes that the group may still use.
        available: u64,
        /// The group, as a folder.
        group: String,
    },
    /// The name is taken, on a platform where creation makes the name visible at once. On Linux
    /// [`PublishError::Exists`](crate::PublishError::Exists) says this instead.
    #[error("a shared-memory object named `{name}` exists already; use another name or end its owner first")]
    Exists {
        /// The name.
        name: RegionName,
    },
    /// A system call failed; `source` has the code.
    #[error("cannot {step}: {source}{}", remedy(source))]
    Os {
        /// What was being done, as a verb phrase.
        step: &'static str,
        /// The system's answer.
        source: io::Error,
    },
    /// There is no backend for this platform.
    #[error("shared memory is not supported on this platform")]
    Unsupported,
}

impl CreateError {
    #[cfg_attr(
        not(any(target_os = "linux", target_os = "macos", windows)),
        expect(dead_code, reason = "the stub makes no system call")
    )]
    pub(crate) fn os(step: &'static str, source: impl Into<io::Error>) -> Self {
        let source = source.into();
        if source.kind() == io::ErrorKind::PermissionDenied {
            Self::PermissionDenied { source, directory: None }
        } else {
            Self::Os { step, source }
        }
    }
}

/// A backend's object that could not be published, and why; `None` where the name is taken.
pub(crate) type Refusal<P> = Box<(P, Option<OsError>)>;

/// An existing object could not be opened or mapped.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum OpenError {
    /// No object has this name.
    #[error("no shared-memory object is named `{name}`; check the name and whether its server runs")]
    NotFound {
        /// The name.
        name: String,
    },
    /// The object exists but its mode or owner forbids the access.
    #[error(
        "no permission to open `{name}`{}; run as its owner, or have its server give it a wider mode (`shmx serve --mode \
         0660 --group NAME`, `ServerBuilder::mode`)",
        owner_text(*owner)
    )]
    PermissionDenied {
        /// The name.
        name: String,
        /// The system's answer.
        source: io::Error,
        /// Whose it is, where the platform tells.
        owner: Option<Owner>,
    },
    /// The name leads to something that is not a shared-memory object: a directory, a symbolic link, a pipe.
    #[error("`{name}` is not a shared-memory object but something else of that name; remove it or use another name")]
    NotSharedMemory {
        /// The name.
        name: String,
    },
    /// The object has no bytes: it is being created by a program that makes it visible first, or was abandoned.
    #[error("`{name}` is empty; its creator has not sized it yet (try again) or died (remove it)")]
    Empty {
        /// The name.
        name: String,
    },
    /// The object is larger than this process can address or than the limit for dump files.
    #[error("`{name}` has {len} bytes but at most {limit} can be opened")]
    TooLarge {
        /// The name.
        name: String,
        /// Its bytes.
        len: u64,
        /// Most bytes that can be opened.
        limit: u64,
    },
    /// While it was being opened, the name came to lead to another object, or the object changed its length.
    #[error("`{name}` was replaced while it was being opened; open it again")]
    Replaced {
        /// The name.
        name: String,
    },
    /// A step failed.
    #[error("cannot open `{name}`")]
    Os {
        /// The name.
        name: String,
        /// What failed.
        source: OsError,
    },
}

impl OpenError {
    #[cfg_attr(
        not(any(target_os = "linux", target_os = "macos", windows)),
        expect(dead_code, reason = "the stub makes no system call")
    )]
    pub(crate) fn os(name: &RegionName, step: &'static str, source: impl Into<io::Error>) -> Self {
        let source = source.into();
        let name = name.as_str().to_owned();
        match source.kind() {
            io::ErrorKind::NotFound => Self::NotFound { name },
            io::ErrorKind::PermissionDenied => Self::PermissionDenied { name, source, owner: None },
            _ => Self::Os { name, source: OsError::os(step, source) },
        }
    }
}
