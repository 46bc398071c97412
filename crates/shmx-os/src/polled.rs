//! The waits of platforms that have none of their own.

pub(crate) use crate::no_wait_fd::WaitFd;
pub(crate) use crate::polled_names::NameWatch;
pub(crate) use crate::polled_words::{Interrupter, WaitMany};
