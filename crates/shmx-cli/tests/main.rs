//! The command as its users run it. One program for all files: each more would be linked anew.

mod bad_input;
mod cli;
mod clocks;
mod common;
mod dashboard;
mod dialect;
mod exits;
mod exports;
mod files;
mod help;
mod names;
mod others;
mod outside;
mod quiet;
mod rec;
mod recording;
mod signals;
mod streams;
