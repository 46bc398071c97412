//! Creation: an object that nobody sees until it is complete.

use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::AtomicU8;

use rustix::fs::{AtFlags, CWD, Gid, Mode, OFlags, Stat};
use rustix::io::Errno;

use super::fork::Ready;
use super::invisible::{Attempt, HiddenName, Strategy, open_invisible};
use super::lock::LockFile;
use super::object::{LOOK, ObjectId, PREPARE, owner_of_directory, path_of, proc_path};
use super::region::Region;
use super::reserve::{check_room, map_new, no_space_or, prefault, reserve};
use super::view::Mapping;
use crate::create_options::CreateOptions;
use crate::error::{CreateError, OsError, Refusal};
use crate::lock::LockByte;
use crate::name::RegionName;

pub(crate) struct Pending {
    mapping: Mapping,
    file: LockFile,
    id: ObjectId,
    /// The hidden name, where there is one.
    hidden: Option<HiddenName>,
}

impl Pending {
    /// Two descriptions of the object are opened. One is mapped and closed; the mapping keeps that description alive,
    /// also in forked children, which inherit it. The other is for locks, and is closed in forked children. With one
    /// description for both, a child's mapping would keep a dead parent's locks.
    pub(crate) fn create(name: &RegionName, options: &CreateOptions) -> Result<Self, CreateError> {
        let mut refused = None;
        for strategy in [Strategy::Nameless, Strategy::Hidden, Strategy::Beside] {
            match Self::create_by(strategy, name, options) {
                Ok(made) => return Ok(made),
                Err(Attempt::NoSuchWay) => {}
                // A confined program may have rights for names that begin with a given text only.
                Err(Attempt::Failed(CreateError::PermissionDenied { source, .. })) => refused = Some(source),
                Err(Attempt::Failed(error)) => return Err(error),
            }
        }
        Err(match refused {
            Some(source) => CreateError::PermissionDenied { source, directory: owner_of_directory() },
            None => CreateError::Unsupported,
        })
    }

    fn create_by(strategy: Strategy, name: &RegionName, options: &CreateOptions) -> Result<Self, Attempt> {
        // The caller has checked that it fits.
        let len = usize::try_from(options.len).unwrap_or(usize::MAX);
        let (memory, hidden) = open_invisible(strategy, name)?;
        let reopen_path = match &hidden {
            Some(hidden) => hidden.path.clone(),
            None => proc_path(memory.as_fd()).into(),
        };
        // Before fchmod, because the final mode may forbid it.
        let ready = Ready::new().map_err(|error| CreateError::os(PREPARE, error))?;
        let file = LockFile::open(ready, || -> Result<OwnedFd, Attempt> {
            // No NOFOLLOW: the /proc path is a link by nature.
            rustix::fs::open(&reopen_path, OFlags::RDWR | OFlags::CLOEXEC, Mode::empty()).map_err(
                |error| match strategy {
                    Strategy::Nameless => Attempt::NoSuchWay,
                    Strategy::Hidden | Strategy::Beside => {
                        CreateError::os("open the new object a second time", error).into()
                    }
                },
            )
        })?;
        let stat = rustix::fs::fstat(&memory).map_err(|error| CreateError::os(LOOK, error))?;
        let again = file.fd(LOOK).map(|fd| rustix::fs::fstat(fd).ok());
        if !matches!(again, Ok(Some(again)) if ObjectId::of(&again) == ObjectId::of(&stat)) {
            // /proc is of another process namespace, or somebody replaced the hidden name.
            return Err(Attempt::NoSuchWay);
        }
        if let Some(group) = options.group {
            rustix::fs::fchown(&memory, None, Some(Gid::from_raw(group)))
                .map_err(|error| CreateError::Os { step: "give the object to the group", source: error.into() })?;
        }
        // By fchmod, so that the umask has no say.
        rustix::fs::fchmod(&memory, Mode::from_raw_mode(options.mode))
            .map_err(|error| CreateError::os("set the file mode", error))?;
        check_room(memory.as_fd(), options.len)?;
        if options.huge_pages {
            // Huge pages come from faults through a mapping with this advice. `fallocate` knows no mapping and would
            // fill the object with small pages, so it comes afterwards and fills what the faults left.
            rustix::fs::ftruncate(&memory, options.len)
                .map_err(|error| no_space_or("set the length", error, memory.as_fd(), options.len))?;
            let mapping = map_new(&memory, len)?;
            mapping.span().advise_huge();
            // Best effort: what this cannot have, `reserve` reports.
            let _ = mapping.span().populate();
            reserve(memory.as_fd(), options.len)?;
            if options.prefault {
                prefault(&mapping)?;
            }
            return Ok(Self::assemble(mapping, file, &stat, hidden));
        }
        reserve(memory.as_fd(), options.len)?;
        let mapping = map_new(&memory, len)?;
        if options.prefault {
            prefault(&mapping)?;
        }
        Ok(Self::assemble(mapping, file, &stat, hidden))
    }

    fn assemble(mapping: Mapping, file: LockFile, stat: &Stat, hidden: Option<HiddenName>) -> Self {
        Self { mapping, file, id: ObjectId::of(stat), hidden }
    }

    #[inline]
    pub(crate) fn bytes(&self) -> &[AtomicU8] {
        self.mapping.bytes()
    }

    pub(crate) fn try_lock(&self, lock: LockByte) -> Result<bool, OsError> {
        self.file.try_lock(lock)
    }

    pub(crate) fn publish(self, name: &RegionName) -> Result<Region, Refusal<Self>> {
        const STEP: &str = "give the object its name";
        let linked = match self.file.fd(STEP) {
            Err(error) => return Err(Box::new((self, Some(error)))),
            Ok(fd) => {
                let (path, flags) = match &self.hidden {
                    Some(hidden) => (hidden.path.clone(), AtFlags::empty()),
                    None => (proc_path(fd).into(), AtFlags::SYMLINK_FOLLOW),
                };
                // Link, not rename: it fails where the name is taken.
                rustix::fs::linkat(CWD, path, CWD, path_of(name), flags)
            }
        };
        match linked {
            Ok(()) => Ok(Region {
                view: Arc::new(self.mapping),
                file: self.file,
                id: self.id,
                // The hidden name, where there is one, goes here.
            }),
            Err(Errno::EXIST) => Err(Box::new((self, None))),
            Err(error) => Err(Box::new((self, Some(OsError::os(STEP, error))))),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::Ordering;

    use super::super::invisible::confined::PREFIX;
    use super::*;

    #[test]
    fn a_confined_program_uses_names_that_begin_with_its_own() {
        let prefix = format!("snap.shmx-unit-{}.", std::process::id());
        let name = RegionName::new(&format!("{prefix}{}", "é".repeat(100))).unwrap();
        PREFIX.set(Some(prefix.clone()));
        let options = CreateOptions { len: 4096, ..CreateOptions::default() };
        let pending = Pending::create(&name, &options).unwrap();
        let hidden = pending.hidden.as_ref().unwrap().path.clone();
        let own = hidden.file_name().unwrap().to_str().unwrap();
        assert!(own.starts_with(&prefix) && own.contains(".shmx-pending-") && own.len() <= 255, "{own}");
        let region = pending.publish(&name).unwrap_or_else(|refusal| panic!("{:?}", refusal.1));
        assert!(!hidden.exists() && region.remove(&name).unwrap());
        PREFIX.set(Some("other".into()));
        let refused = Pending::create(&name, &options).err().unwrap();
        assert!(matches!(refused, CreateError::PermissionDenied { directory: Some(_), .. }), "{refused}");
        PREFIX.set(None);
    }

    fn created(strategy: Strategy) -> Pending {
        let name = RegionName::new("shmx-unit").unwrap();
        let options = CreateOptions { len: 10_000, ..CreateOptions::default() };
        match Pending::create_by(strategy, &name, &options) {
            Ok(pending) => pending,
            Err(Attempt::NoSuchWay) => panic!("this system lacks what the test needs"),
            Err(Attempt::Failed(error)) => panic!("{error}"),
        }
    }

    #[test]
    fn both_ways_of_creating_publish_the_same() {
        for strategy in [Strategy::Nameless, Strategy::Hidden, Strategy::Beside] {
            let name = RegionName::new(&format!("shmx-unit-{}-{}", std::process::id(), strategy as u8)).unwrap();
            let pending = created(strategy);
            let hidden = pending.hidden.as_ref().map(|hidden| hidden.path.clone());
            assert_eq!(hidden.is_some(), strategy != Strategy::Nameless);
            pending.bytes()[1].store(1, Ordering::Relaxed);
            let region = pending.publish(&name).unwrap_or_else(|refusal| panic!("{:?}", refusal.1));
            assert!(hidden.is_none_or(|path| !path.exists()));
            assert!(region.is_named(&name).unwrap());
            assert_eq!(region.bytes()[1].load(Ordering::Relaxed), 1);
            // Taken: refused, and no trace is left.
            let second = created(strategy);
            let hidden = second.hidden.as_ref().map(|hidden| hidden.path.clone());
            let Err(refusal) = second.publish(&name) else { panic!("it replaced the first") };
            assert!(refusal.1.is_none());
            drop(refusal);
            assert!(hidden.is_none_or(|path| !path.exists()));
            assert!(region.remove(&name).unwrap());
        }
    }
}
