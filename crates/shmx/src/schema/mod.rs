//! What a region says about its streams.

pub mod meta;
