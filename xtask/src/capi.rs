//! The C and C++ interfaces: header, installation, tests.

mod header;

use crate::step::{self, Tally};
use crate::tests::target_dir;
use anyhow::{Result, bail};

/// `cargo xtask capi-header`.
pub(crate) fn header(tally: &mut Tally, args: &[&str]) -> Result<()> {
    let check = match args {
        [] => false,
        ["--check"] => true,
        _ => bail!("unknown arguments {args:?}; see cargo xtask help"),
    };
    step::check(tally, "C header", || header::make(&target_dir()?, check))
}
