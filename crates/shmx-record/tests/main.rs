//! Recordings of real regions. One program for all files: each more would be linked anew.

mod checksums;
mod common;
mod damaged;
mod edit;
mod example;
mod player;
mod recorder;
mod round_trip;
mod selection;
mod snapshot;
mod tools;
mod views;
