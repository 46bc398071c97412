//! What streams are called, what they are made of, and what they mean.

pub(crate) mod asked;
pub(crate) mod catalog;
pub(crate) mod directory;
pub(crate) mod key;
pub mod meta;
pub(crate) mod spec;
pub(crate) mod stream;
