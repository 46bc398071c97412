//! Recordings written anew by the MCAP packages of others: what is replayed stays the same.

use crate::interop::{self, output};
use crate::record::readback::{FRAMES, STREAMS};
use crate::record::setting::Setting;
use anyhow::{Context, Result, ensure};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The package of npm, with all that it needs.
const PACKAGES: &[&str] =
    &["@mcap/core@2.2.2", "@foxglove/crc@0.0.3", "heap-js@2.7.1", "tslib@2.8.1", "hyparquet@1.33.0"];

/// The folder with the packages of npm, made on first use.
pub(crate) fn packages(target: &Path) -> Result<PathBuf> {
    let folder = target.join("record-node");
    interop::npm(&folder, PACKAGES)?;
    Ok(folder)
}

/// Every stream of a recording as a table, with ids and times.
fn content(s: &Setting, file: &str) -> Result<Vec<String>> {
    let (table, text) = s.file("content.csv")?;
    let of = |stream: &str| -> Result<String> {
        output(&mut s.shmx(&["rec", file, "-o", &text, "--stream", stream, "--overwrite", "-q"]))?;
        Ok(fs::read_to_string(&table)?)
    };
    STREAMS.iter().map(|(_, stream, ..)| of(stream)).collect()
}

/// Compares what was written anew with the recording that it was made of.
fn same(s: &Setting, what: &str, file: &str, before: &[String]) -> Result<()> {
    let segment = &s.info(file)?["regions"][0]["segments"][0];
    ensure!(segment["frames"] == FRAMES && segment["missed"] == 0, "{what}: {segment}");
    for ((now, before), stream) in content(s, file)?.iter().zip(before).zip(STREAMS) {
        ensure!(now == before, "{what}: other values of stream {}", stream.1);
    }
    let out = output(&mut s.shmx(&["play", file, "--prefix", "anew-", "--rate", "max", "--json"]))?;
    let played: serde_json::Value = serde_json::from_str(&out)?;
    ensure!(played["published"] == FRAMES, "{what}: {played}");
    Ok(())
}

fn path(file: &Path) -> Result<&str> {
    file.to_str().context("the target directory is not UTF-8")
}

/// By the package of PyPI.
pub(crate) fn by_python(s: &Setting, python: &Path, recording: &Path) -> Result<String> {
    let script = s.dir.join("rewrite.py");
    fs::write(&script, include_str!("rewrite.py"))?;
    let before = content(s, path(recording)?)?;
    let mut done = Vec::new();
    for order in ["time", "channel", "frames"] {
        for chunk in ["2000", "1000000"] {
            let (anew, text) = s.file("anew.mcap")?;
            let said = output(Command::new(python).arg(&script).arg(recording).arg(&anew).args([order, chunk]))?;
            same(s, &format!("by {order}, chunks of {chunk}"), &text, &before)?;
            done.push(format!("{order} {}", said.trim()));
            fs::remove_file(anew)?;
        }
    }
    done.dedup();
    Ok(format!("six files replay as the one they were made of ({})", done.join(", ")))
}

/// By the package of npm.
pub(crate) fn by_node(s: &Setting, packages: &Path, recording: &Path) -> Result<String> {
    let script = s.dir.join("rewrite.mjs");
    fs::write(&script, include_str!("rewrite.mjs"))?;
    let before = content(s, path(recording)?)?;
    let (plain, plain_text) = s.file("plain.mcap")?;
    output(&mut s.shmx(&["rec", path(recording)?, "-o", &plain_text, "-q"]))?;
    let mut said = String::new();
    for chunk in ["2000", "1000000"] {
        let (anew, text) = s.file("anew.mcap")?;
        said = output(Command::new("node").arg(&script).arg(packages).args([&plain, &anew]).arg(chunk))?;
        same(s, &format!("by node, chunks of {chunk}"), &text, &before)?;
        fs::remove_file(anew)?;
    }
    fs::remove_file(plain)?;
    Ok(format!("two files replay as the one they were made of ({})", said.trim()))
}
