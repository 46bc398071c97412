//! The format. One program for all files: each more would be linked anew.

mod foreign_reader;
mod golden;
mod hash_kernels;
mod oracle;
mod property;
