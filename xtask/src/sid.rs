//! Packages of Debian's sid, unpacked on any Debian: nothing is installed, no root is needed, and the system's package
//! lists stay as they are.

use crate::interop::output;
use anyhow::{Context, Result, ensure};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

const KEYS: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

/// Package lists of sid in a folder of their own.
pub(crate) struct Sid {
    apt: PathBuf,
}

impl Sid {
    /// Fetches the lists, from the archive that the system itself uses, so that none need be named here.
    pub(crate) fn lists(folder: &Path) -> Result<Self> {
        ensure!(Path::new(KEYS).exists(), "this is no Debian system");
        let targets = output(Command::new("apt-get").args(["indextargets", "--format", "$(LABEL) $(REPO_URI)"]))?;
        let archive = targets.lines().find_map(|l| l.strip_prefix("Debian ")).context("run `apt-get update` first")?;
        let sid = Self { apt: std::path::absolute(folder.join("apt"))? };
        for needed in ["lists/partial", "cache/archives/partial"] {
            fs::create_dir_all(sid.apt.join(needed))?;
        }
        fs::write(sid.apt.join("sources.list"), format!("deb [signed-by={KEYS}] {archive} sid main\n"))?;
        output(sid.apt("apt-get").arg("update"))?;
        Ok(sid)
    }

    fn apt(&self, program: &str) -> Command {
        let mut c = Command::new(program);
        c.current_dir(&self.apt).args(["-q", "-o", "Dir::Etc::sourceparts=/dev/null"]);
        // A mirror that lags has older packages, signed as well.
        c.args(["-o", "Acquire::Check-Valid-Until=false"]);
        for (option, place) in
            [("Dir::Etc::sourcelist", "sources.list"), ("Dir::State::lists", "lists"), ("Dir::Cache", "cache")]
        {
            c.arg("-o").arg(format!("{option}={}", self.apt.join(place).display()));
        }
        c
    }

    /// The newest version of a package that begins so.
    pub(crate) fn version(&self, package: &str, start: &str) -> Result<String> {
        let offered = output(self.apt("apt-cache").args(["madison", package]))?;
        let found = offered.lines().filter_map(|l| l.split('|').nth(1)).map(str::trim).find(|v| v.starts_with(start));
        Ok(found.with_context(|| format!("Debian has no {package} of version {start}"))?.to_owned())
    }

    /// Unpacks packages, as `name` or `name=version`, without what they depend on.
    pub(crate) fn unpack(&self, packages: &[&str], to: &Path) -> Result<()> {
        output(self.apt("apt-get").arg("download").args(packages)).context("download packages of Debian's sid")?;
        for entry in fs::read_dir(&self.apt)? {
            let package = entry?.path();
            if package.extension().is_some_and(|e| e == "deb") {
                output(Command::new("dpkg").arg("--extract").arg(&package).arg(to))?;
                fs::remove_file(&package)?;
            }
        }
        Ok(())
    }
}
