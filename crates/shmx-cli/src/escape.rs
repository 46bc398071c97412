//! Text that other processes wrote, made harmless.

pub(crate) use shmx_record::escape::{is_harmful, safe};
