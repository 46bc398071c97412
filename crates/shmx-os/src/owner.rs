//! Whose objects are.

/// Whose an object is, and what others may do with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Owner {
    /// The user.
    pub uid: u32,
    /// The group.
    pub gid: u32,
    /// Permission bits.
    pub mode: u32,
}

impl Owner {
    /// Permission bits for a file that copies the object's bytes, made by a process of this group
    /// ([`group_of_process`](crate::group_of_process)): nobody may read or write it who may not do so with the object,
    /// but that process's user. The umask is for the caller to apply.
    ///
    /// ```
    /// let region = shmx_os::Owner { uid: 0, gid: 7, mode: 0o640 };
    /// assert_eq!([region.mode_of_copy(7), region.mode_of_copy(8)], [0o640, 0o600]);
    /// ```
    #[must_use]
    pub const fn mode_of_copy(self, group: u32) -> u32 {
        let others = self.mode & 0o006;
        // Members of another group are others to the object.
        let members = self.mode & 0o060 & if self.gid == group { 0o060 } else { others << 3 };
        0o600 | members | others
    }
}
