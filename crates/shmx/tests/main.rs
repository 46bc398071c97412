//! Servers and readers. One program for all files: each more would be linked anew.

mod align;
mod asked;
mod checksums;
mod common;
mod control_bell;
mod control_fd;
mod control_tap;
mod defaults;
mod directory;
mod events;
mod examples;
mod facade;
mod follow;
mod follow_kept;
#[cfg(feature = "async")]
mod frames;
mod hostile;
mod hostile_threads;
mod inspector;
mod leases;
mod lifecycle;
mod liveness;
mod lossless;
mod names;
mod portable;
mod read_only;
mod reading;
mod readme;
mod stopped;
mod streams;
mod tap;
mod tap_pieces;
mod threads;
mod three_programs;
#[cfg(feature = "tokio")]
mod tokio;
mod wait_fd;
mod wait_set;
mod whole_words;
