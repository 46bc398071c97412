//! One error type per operation. Each keeps the operating system's code as its source and names the step.

use std::io;

use thiserror::Error;

use crate::name::RegionName;

/// An operation on an open object failed.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum OsError {
    /// A system call failed; `source` has the code.
    #[error("the operating system refused to {step}")]
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
    #[error("no permission to create shared-memory objects; check the rights of the shared-memory directory")]
    PermissionDenied {
        /// The system's answer.
        source: io::Error,
    },
    /// The name is taken, on a platform where creation makes the name visible at once. On Linux
    /// [`PublishError::Exists`](crate::PublishError::Exists) says this instead.
    #[error("a shared-memory object named `{name}` exists already; use another name or end its owner first")]
    Exists {
        /// The name.
        name: RegionName,
    },
    /// A system call failed; `source` has the code.
    #[error("cannot create shared memory: the operating system refused to {step}")]
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
            Self::PermissionDenied { source }
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
    #[error("no permission to open `{name}`; run as its owner, or have it created with a wider file mode")]
    PermissionDenied {
        /// The name.
        name: String,
        /// The system's answer.
        source: io::Error,
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
            io::ErrorKind::PermissionDenied => Self::PermissionDenied { name, source },
            _ => Self::Os { name, source: OsError::os(step, source) },
        }
    }
}
