//! `shmx dump`: a region's bytes into a file, for a post-mortem.

use crate::args::Dump;
use crate::common::say;
use crate::progress::Progress;
use crate::stop;
use crate::units;
use anyhow::{Context, bail};
use shmx::Inspector;
use std::fs::File;
use std::io::Write;

const CHUNK: usize = 1 << 20;

pub(crate) fn run(a: &Dump) -> anyhow::Result<()> {
    let inspector = Inspector::open(&a.name).with_context(|| format!("cannot open region `{}`", a.name))?;
    let total = inspector.layout().total_bytes() as usize;
    if a.file.as_os_str() == "-" {
        copy(&inspector, total, &mut std::io::stdout().lock())?;
        return Ok(());
    }
    let shown = a.file.display();
    // Under another name first, so that nothing half-written has the name that was asked for.
    let mut part = a.file.clone().into_os_string();
    part.push(format!(".part-{}", std::process::id()));
    let written = File::create(&part).and_then(|mut file| {
        copy(&inspector, total, &mut file).map_err(std::io::Error::other)?;
        file.flush()
    });
    let finished = written.and_then(|()| std::fs::rename(&part, &a.file));
    if let Err(e) = finished {
        let _ = std::fs::remove_file(&part);
        return Err(e).with_context(|| format!("cannot write `{shown}`"));
    }
    say(format_args!("{} of `{}` written to `{shown}`", units::count(total as u64, "byte"), a.name));
    Ok(())
}

fn copy(inspector: &Inspector, total: usize, out: &mut impl Write) -> anyhow::Result<()> {
    let progress = Progress::new(total as u64, "dumping");
    let mut buf = vec![0; CHUNK];
    let mut at = 0;
    while at < total {
        if stop::requested() {
            bail!("interrupted; nothing was kept");
        }
        if !inspector.is_whole() {
            bail!("the object was cut short by another process meanwhile; nothing was kept");
        }
        let n = inspector.read_at(at, &mut buf);
        out.write_all(&buf[..n])?;
        at += n;
        progress.set(at as u64);
    }
    out.flush()?;
    Ok(())
}
