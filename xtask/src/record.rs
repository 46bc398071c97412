//! Recordings with real processes: read back by other software, a real clip there and back, and figures.

mod clip;
mod exports;
mod figures;
mod foreign;
mod readback;
mod screens;
mod setting;

use crate::step::{self, Tally};
use crate::{tests, video};
use anyhow::Result;
use setting::Setting;

pub(crate) use figures::bench;
pub(crate) use screens::draw as screens;
pub(crate) use setting::Running;

pub(crate) fn test(tally: &mut Tally, in_ci: bool) -> Result<()> {
    if !cfg!(target_os = "linux") {
        return step::skip(tally, "recordings", "it is written for Linux", false);
    }
    let s = Setting::new(tally)?;
    let target = tests::target_dir()?;
    let mut recording = None;
    match readback::packages(&target) {
        Ok(python) => {
            step::check(tally, "a recording read back by the packages of others", || {
                let (file, said) = readback::read_back(&s, &python)?;
                println!("   {said}");
                recording = Some(file);
                Ok(())
            })?;
            if let Some(file) = &recording {
                step::check(tally, "the recording written anew by the package of PyPI", || {
                    println!("   {}", foreign::by_python(&s, &python, file)?);
                    Ok(())
                })?;
            }
        }
        Err(e) => step::skip(tally, "a recording read back by the packages of others", &format!("{e:#}"), in_ci)?,
    }
    match (recording, foreign::packages(&target)) {
        (Some(file), Ok(packages)) => {
            step::check(tally, "the recording written anew by the package of npm", || {
                println!("   {}", foreign::by_node(&s, &packages, &file)?);
                Ok(())
            })?;
            step::check(tally, "tables and arrays read by the packages of others", || {
                println!("   {}", exports::compare(&s, &readback::packages(&target)?, &packages, &file)?);
                Ok(())
            })?;
        }
        (_, why) => {
            let why = why.err().map_or("there is no recording".to_owned(), |e| format!("{e:#}"));
            step::skip(tally, "the recording written anew by the package of npm", &why, in_ci)?;
        }
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
