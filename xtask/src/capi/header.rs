//! `shmx.h`, made by cbindgen out of crates/shmx-capi.

use crate::interop::{cargo_tool, output};
use anyhow::{Context, Result, ensure};
use std::path::Path;
use std::process::Command;

const VERSION: &str = "0.29.4";
const CRATE: &str = "crates/shmx-capi";
const HEADER: &str = "crates/shmx-capi/include/shmx.h";

/// Writes the header, or compares it with what is committed.
pub(super) fn make(target: &Path, check: bool) -> Result<()> {
    let cbindgen = cargo_tool(target, "cbindgen", VERSION)?;
    let mut c = Command::new(cbindgen);
    let raw = output(c.args(["--quiet", "--config"]).arg(format!("{CRATE}/cbindgen.toml")).arg(CRATE))?;
    let text = plain(&raw)?;
    if !check {
        std::fs::write(HEADER, text)?;
        return Ok(());
    }
    let have = std::fs::read_to_string(HEADER).with_context(|| format!("read {HEADER}"))?;
    let differs = have.lines().zip(text.lines()).enumerate().find(|(_, (a, b))| a != b);
    let at = differs.map(|(i, (a, b))| format!("line {}: `{a}` is to be `{b}`", i + 1));
    ensure!(have == text, "{HEADER} is not what the code gives ({at:?}); run `cargo xtask capi-header`");
    Ok(())
}

/// The names of the pointers that functions of the crate take (its `args.rs`), which a header has no use for.
fn is_argument(name: &str) -> bool {
    matches!(name, "Text" | "Bytes" | "Room")
        || ["In_", "Out_", "Fill_", "FillArray_", "Array_", "Places_", "Give_"].iter().any(|p| name.starts_with(p))
}

/// Puts the pointers themselves where their names are used.
fn plain(raw: &str) -> Result<String> {
    let mut pointers: Vec<(String, String)> = Vec::new();
    let mut text = String::new();
    let mut comment = String::new();
    for line in raw.lines() {
        if line.starts_with("//") {
            comment += &format!("{line}\n");
            continue;
        }
        let typedef = line.strip_prefix("typedef ").and_then(|l| l.strip_suffix(';'));
        if let Some((to, name)) = typedef.and_then(|l| l.rsplit_once('*')).filter(|(_, name)| is_argument(name)) {
            pointers.push((name.to_owned(), format!("{to}*")));
            comment.clear();
            continue;
        }
        if !(line.is_empty() && text.ends_with("\n\n") && comment.is_empty()) {
            text += &std::mem::take(&mut comment);
            text += line;
            text += "\n";
        }
    }
    // Some lead to others.
    for _ in 0..2 {
        pointers = pointers.iter().map(|(n, t)| (n.clone(), expanded(t, &pointers))).collect();
    }
    text = text.split_inclusive('\n').map(|line| resolved(line, &pointers)).collect();
    let left = text.lines().find(|l| !l.trim_start().starts_with("//") && l.split([' ', '(', '*']).any(is_argument));
    ensure!(left.is_none(), "a pointer's name is left: {left:?}");
    while text.contains("\n\n\n") {
        text = text.replace("\n\n\n", "\n\n");
    }
    Ok(text)
}

/// A line of code with the pointers themselves.
fn resolved(line: &str, pointers: &[(String, String)]) -> String {
    if line.trim_start().starts_with("//") {
        return line.to_owned();
    }
    let mut line = line.to_owned();
    for (name, to) in pointers {
        for before in ["(", " "] {
            line = line.replace(&format!("{before}{name} "), &format!("{before}{to}"));
        }
    }
    line
}

/// A pointer to a pointer that has a name.
fn expanded(to: &str, pointers: &[(String, String)]) -> String {
    let inner = to.trim_end_matches('*').trim_end();
    let stars = &to[to.trim_end_matches('*').len()..];
    let (inner, constant) = inner.strip_prefix("const ").map_or((inner, ""), |inner| (inner, "const "));
    match pointers.iter().find(|(name, _)| name == inner) {
        Some((_, found)) => format!("{found}{constant}{stars}"),
        None => to.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::plain;

    #[test]
    fn names_of_pointers_are_resolved() {
        let raw = "// A string.\n//\ntypedef const char *Text;\n\n// Kept.\ntypedef struct a {\n    // The name.\n    Text name;\n} a;\n\n\
                   typedef Text *Out_Text;\n\ntypedef const Text *Array_Text;\n\n\
                   // Does.\nint f(Text x,\n      Out_Text y,\n      Array_Text z);\n";
        let want = "// Kept.\ntypedef struct a {\n    // The name.\n    const char *name;\n} a;\n\n// Does.\nint f(const char *x,\n      \
                    const char **y,\n      const char *const *z);\n";
        assert_eq!(plain(raw).unwrap().trim_start(), want);
    }
}
