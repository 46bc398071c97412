//! Linux: files of the tmpfs at `/dev/shm`, which is what `shm_open` means there.

mod cgroup;
mod existing;
mod fork;
mod futex;
mod invisible;
mod listing;
mod lock;
mod object;
mod pages;
mod pending;
mod process;
mod read_only;
mod region;
mod reserve;
mod shared_word;
mod signal;
mod space;
mod users;
mod view;
mod waits;

pub(crate) use cgroup::memory_limits;
pub(crate) use existing::Existing;
pub(crate) use futex::can_wait;
pub(crate) use listing::list;
pub(crate) use pending::Pending;
pub(crate) use process::{group_of_process, process_alive, process_is_stopped, process_name, random_u64, ticks};
pub(crate) use read_only::{ReadOnly, peek};
pub(crate) use region::Region;
pub(crate) use shared_word::SharedWord;
pub(crate) use signal::{explain_bus_errors, restore_terminal_on_bus_error, signal_is_ignored};
pub(crate) use space::{page_size, space};
pub(crate) use waits::{Interrupter, NameWatch, WaitFd, WaitMany};
