//! The drop-in against the original's headers, which come from its source package.

use super::programs::{self, Bench, INCLUDE, Link, Peer, Recipe, TESTS};
use crate::interop;
use crate::step::{self, Tally};
use anyhow::{Result, ensure};
use std::path::Path;
use std::process::Command;

/// Compares the two, and adds the peers.
pub(super) fn test(
    tally: &mut Tally,
    bench: &Bench,
    target: &Path,
    quick: bool,
    in_ci: bool,
    peers: &mut Vec<Peer>,
) -> Result<()> {
    let drop_in = format!("-I{INCLUDE}/shmx/compat");
    let member_source = format!("{TESTS}/compat/members.cpp");
    let peer_source = format!("{TESTS}/compat/peer.cpp");
    let compiled = |name: &str, source: &str, flags: &[&str], link: Link| {
        let strict = link == Link::Shared;
        bench.compile(name, &Recipe { compiler: "g++", flags, sources: &[source], link, strict })
    };
    // The overflow that g++ 12 sees is in a null pointer's path.
    let flags = ["-std=c++17", drop_in.as_str(), "-Wno-stringop-overflow"];
    step::check(tally, "the drop-in compiles", || {
        let peer = compiled("peer-compat", &peer_source, &flags, Link::Shared)?;
        peers.push(Peer { label: "the drop-in", command: vec![peer], leaves: false, slow: false });
        Ok(())
    })?;
    let original = match crate::bench::original(target) {
        Ok(dir) => dir.join("src"),
        Err(e) => {
            step::skip(tally, "the original's headers", &format!("{e:#}"), in_ci)?;
            return Ok(());
        }
    };
    let system = format!("-isystem{}", original.display());
    let system = ["-std=c++17", "-O2", "-w", system.as_str()];
    step::check(tally, "members of the original's headers, both ways", || {
        let ours = compiled("members-compat", &member_source, &flags, Link::Shared)?;
        let theirs = compiled("members-original", &member_source, &system, Link::Nothing)?;
        let said = |program: &Path| {
            let name = programs::region();
            let said = programs::run(Command::new(program).arg(&name));
            programs::left(&name);
            said
        };
        let (ours, theirs) = (said(&ours)?, said(&theirs)?);
        let differs = ours.lines().zip(theirs.lines()).find(|(a, b)| a != b);
        ensure!(ours == theirs, "the first line that differs: {differs:?}");
        println!("   {} lines alike", ours.lines().count());
        Ok(())
    })?;
    step::check(tally, "shmx.hpp beside the original's headers", || {
        let mut flags = vec!["-DORIGINAL"];
        flags.extend(system);
        flags[1] = "-std=c++20";
        let sources = [format!("{TESTS}/cpp/features.cpp"), format!("{TESTS}/cpp/other.cpp")];
        let sources: Vec<&str> = sources.iter().map(String::as_str).collect();
        let recipe = Recipe { compiler: "g++", flags: &flags, sources: &sources, link: Link::Shared, strict: false };
        super::whole(Command::new(bench.compile("features-both", &recipe)?))
    })?;
    step::check(tally, "the original's peer compiles", || {
        let mut flags = system.to_vec();
        flags.push("-DMAY_TEAR");
        let peer = compiled("peer-original", &peer_source, &flags, Link::Nothing)?;
        peers.push(Peer { label: "the original", command: vec![peer], leaves: true, slow: false });
        Ok(())
    })?;
    if quick {
        return Ok(());
    }
    match interop::python(target) {
        Ok(python) => {
            let command = vec![python, format!("{TESTS}/compat/peer.py").into()];
            peers.push(Peer { label: "the original in Python", command, leaves: true, slow: true });
            Ok(())
        }
        Err(e) => step::skip(tally, "the original in Python", &format!("{e:#}"), in_ci),
    }
}
