//! Rules that every exported function keeps, read from the source.

use std::collections::BTreeSet;
use std::fs;

fn sources() -> Vec<(String, String)> {
    let dir = concat!(env!("CARGO_MANIFEST_DIR"), "/src");
    let files = fs::read_dir(dir).unwrap().map(|e| e.unwrap().path());
    files.map(|p| (p.file_name().unwrap().to_str().unwrap().to_owned(), fs::read_to_string(&p).unwrap())).collect()
}

/// Names of exported functions, each with what stands before it and after it.
fn exports(text: &str) -> Vec<(&str, &str, &str)> {
    let mark = "pub extern \"C\" fn ";
    text.match_indices(mark)
        .map(|(at, _)| {
            let after = &text[at + mark.len()..];
            (after.split('(').next().unwrap(), &text[..at], after)
        })
        .collect()
}

#[test]
fn no_panic_passes_and_threads_are_told() {
    let mut all = BTreeSet::new();
    for (file, text) in sources() {
        for (name, before, after) in exports(&text) {
            assert!(name.starts_with("shmx_"), "{file}: {name}");
            let body = after.split("\n}").next().unwrap();
            // These two return constants.
            let constant = ["shmx_abi_version", "shmx_version"].contains(&name);
            let guarded = ["guard", "guard_value"].iter().any(|g| body.contains(&format!("{g}(\"{name}\"")));
            assert!(constant || guarded, "{file}: {name} has no `guard` with its name");
            let comment: Vec<&str> = before.lines().rev().skip(1).take_while(|l| l.starts_with("///")).collect();
            assert!(comment.iter().any(|l| l.contains("Threads: ")), "{file}: {name} does not say its threads");
            assert!(before.ends_with("#[unsafe(no_mangle)]\n"), "{file}: {name} is not exported");
            assert!(all.insert(name.to_owned()), "{file}: {name} twice");
        }
    }
    let listed = include_str!("abi/symbols.txt");
    assert_eq!(all, listed.lines().map(str::to_owned).collect(), "tests/abi/symbols.txt lists the functions");
}

#[test]
fn pointers_are_followed_in_few_places() {
    for (file, text) in sources() {
        let code = text.split("#[cfg(test)]").next().unwrap();
        let unsafe_code = code.lines().any(|l| !l.trim_start().starts_with("//") && l.contains("unsafe {"));
        let allowed = ["args.rs", "lend.rs", "writer.rs"].contains(&file.as_str());
        assert!(allowed || !unsafe_code, "{file} has unsafe code; docs/architecture.md says where it may be");
    }
}
