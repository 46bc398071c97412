//! Recordings with real processes: read back by other software, a real clip there and back, and figures.

mod clip;
mod figures;
mod readback;
mod screens;
mod setting;

use crate::step::{self, Tally};
use crate::{tests, video};
use anyhow::Result;
use setting::Setting;

pub(crate) use figures::bench;
pub(crate) use screens::draw as screens;

pub(crate) fn test(tally: &mut Tally, in_ci: bool) -> Result<()> {
    if !cfg!(target_os = "linux") {
        return step::skip(tally, "recordings", "it is written for Linux", false);
    }
    let s = Setting::new(tally)?;
    let target = tests::target_dir()?;
    match readback::packages(&target) {
        Ok(python) => step::check(tally, "a recording read back by the packages of others", || {
            println!("   {}", readback::read_back(&s, &python)?);
            Ok(())
        })?,
        Err(e) => step::skip(tally, "a recording read back by the packages of others", &format!("{e:#}"), in_ci)?,
    }
    match video::decode(&target) {
        Ok(clip) => step::check(tally, "a real clip recorded, replayed, recorded", || {
            println!("   {}", clip::round_trip(&s, &clip)?);
            Ok(())
        })?,
        Err(e) => step::skip(tally, "a real clip recorded, replayed, recorded", &format!("{e:#}"), in_ci)?,
    }
    Ok(())
}
