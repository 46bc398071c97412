//! Pairings with the reference package in a Python interpreter.

use anyhow::Result;

type Pairing = fn(&str) -> Result<String>;

pub(crate) const PAIRINGS: &[(&str, Pairing)] = &[];
