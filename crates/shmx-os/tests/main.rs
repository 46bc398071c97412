//! What platforms promise. One program for all files: each more would be linked anew.
#![cfg(any(target_os = "linux", target_os = "macos", windows))]

mod common;
mod conformance;
mod name_watch;
mod wait_fd;
mod waits;
mod windows;
#[path = "common/word.rs"]
mod word;
