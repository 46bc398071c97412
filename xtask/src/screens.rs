//! The pictures of docs/cli.md, drawn from the dashboard's test scenes.
//!
//! The test that writes them compares them otherwise, so that `cargo test` notices stale ones.

use crate::step::{self, Tally, cargo};
use anyhow::Result;

pub(crate) fn write(tally: &mut Tally) -> Result<()> {
    let mut test = cargo(&["test", "-p", "shmx-cli", "--lib", "screens_of_the_documents"]);
    step::command(tally, "screens", test.env("SHMX_SCREENS", "write"))?;
    let mut written: Vec<_> = std::fs::read_dir("docs/img")?.flatten().collect();
    written.sort_by_key(std::fs::DirEntry::file_name);
    for file in written {
        println!("   {} {} bytes", file.path().display(), file.metadata()?.len());
    }
    Ok(())
}
