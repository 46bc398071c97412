//! How an object is to be made.

/// What [`Pending::create`](crate::Pending::create) makes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CreateOptions {
    /// Length in bytes; must not be 0. It need not be a multiple of the page size.
    pub len: u64,
    /// The nine permission bits of the object, exactly: the umask does not apply. Default `0o600`, the owner alone.
    /// Ignored on Windows, where the default security of the creator's token applies: the creator's user and the
    /// administrators.
    pub mode: u32,
    /// The group of the object, by number (Unix). Default none: that of the process.
    pub group: Option<u32>,
    /// Enter every page into this process's page table now instead of on first touch. Default true. The memory is
    /// reserved either way; this moves the page faults out of the first lap.
    pub prefault: bool,
    /// Ask for huge pages. Default false. Best effort: on Linux `/dev/shm` must be mounted with `huge=advise`,
    /// `huge=within_size` or `huge=always` (`mount -o remount,huge=advise /dev/shm`; the default is `never`), elsewhere
    /// it is ignored. [`Region::huge_page_bytes`](crate::Region::huge_page_bytes) says what came of it.
    pub huge_pages: bool,
    /// How many reader locks there will be, [`LockByte::Reader`](crate::LockByte::Reader)`(0)` and on. Default 128. Windows keeps room for them
    /// (8 bytes each) and refuses to lock beyond; elsewhere every lock can be taken and this is ignored.
    pub reader_locks: u32,
}

impl Default for CreateOptions {
    fn default() -> Self {
        Self { len: 0, mode: 0o600, group: None, prefault: true, huge_pages: false, reader_locks: 128 }
    }
}
