//! Windows: named file mappings on the page file, as the C++ headers of the format make and open them.
//!
//! What differs from Linux, and how it is met:
//!
//! * **The name lives as long as a handle.** A mapping is visible from creation on, and nobody can take its name away
//!   while anybody holds a handle; a *view* keeps only the memory. So the creator of an object keeps its handle, and
//!   whoever opens an object of this backend keeps the view alone: the name ends with its creator, however that ends,
//!   and a successor can have it at once, while the views of the old object stay valid. Objects of other programs are
//!   told apart by their missing [`tail`]; their handles are kept, because their servers expect to find the name again.
//! * **Locks** are words in the object's tail that name a process; they count while that process lives. See [`locks`].
//! * **Sleeping** on a word is sleeping on a named event. See [`bell`].
//! * Lengths of other programs' objects are rounded up to pages.
//! * There is no fork, and no file mode: the default security of the creator's token applies.
//!
//! The crate `shared_memory` is not used here: its `create` attaches to an existing object and reports the length that
//! was asked for, and the file it keeps beside the object lets `open` succeed on stale bytes after a kill.

mod bell;
mod existing;
mod handle;
mod list;
mod locks;
mod many;
mod mapping;
mod object;
mod pending;
mod process;
mod read_only;
mod region;
mod space;
mod tail;
mod view;

pub(crate) use bell::can_wait;
pub(crate) use existing::Existing;
pub(crate) use list::list;
pub(crate) use many::{Interrupter, WaitMany};
pub(crate) use pending::Pending;
pub(crate) use process::{process_alive, process_is_stopped, process_name, random_u64, ticks};
pub(crate) use read_only::{ReadOnly, peek};
pub(crate) use region::Region;
pub(crate) use space::{
    explain_bus_errors, group_of_process, memory_limits, page_size, restore_terminal_on_bus_error, signal_is_ignored,
    space,
};

pub(crate) use crate::no_shared_word::SharedWord;
pub(crate) use crate::no_wait_fd::WaitFd;
pub(crate) use crate::polled_names::NameWatch;
