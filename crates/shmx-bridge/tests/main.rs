//! Hosts joined without a network. One program for all files: each more would be linked anew.

mod common;
mod decode;
mod hostile;
mod large;
mod mirror;
mod mirrors;
mod relay;
mod told;
