//! What streams are called, what they are made of, and what they mean.

pub(crate) mod catalog;
pub(crate) mod directory;
pub mod meta;
pub(crate) mod stream;
