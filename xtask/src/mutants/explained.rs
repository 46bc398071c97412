//! Mutations that no test notices, and why none can: file, mutation, reason.

pub(super) const EXPLAINED: &[(&str, &str, &str)] = &[];
