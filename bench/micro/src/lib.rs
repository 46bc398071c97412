//! Nothing here: see `benches/micro.rs`.
