//! `cargo xtask examples`: the table of all examples, made from what is listed here, and checked against the files.

use anyhow::{Context, Result, ensure};
use std::collections::BTreeSet;
use std::fmt::Write;
use std::fs;
use std::path::Path;

const TABLE: &str = "examples/README.md";
/// Where examples lie, and their endings.
const FOLDERS: [(&str, &str); 7] = [
    ("crates/shmx/examples", "rs"),
    ("crates/shmx-abi/examples", "rs"),
    ("crates/shmx-record/examples", "rs"),
    ("crates/shmx-capi/examples", "rs"),
    ("crates/shmx-capi/examples/c", "c"),
    ("crates/shmx-capi/examples/cpp", "cpp"),
    ("python/examples", "py"),
];
/// Programs of tests and measurements, which show nothing.
const OTHERS: [&str; 5] = [
    "crates/shmx-abi/examples/hash_speed.rs",
    "crates/shmx-capi/examples/peer.rs",
    "crates/shmx-capi/examples/pieces.rs",
    "crates/shmx-capi/examples/speed.rs",
    "crates/shmx-record/examples/load.rs",
];

const RUST: &str = "crates/shmx/examples";
const CPP: &str = "crates/shmx-capi/examples/cpp";
const C: &str = "crates/shmx-capi/examples/c";

struct Topic {
    title: &'static str,
    what: &'static str,
    /// Programs in Rust, C++, C and Python, each without its ending; with a folder where it is not the usual one.
    programs: [&'static [&'static str]; 4],
    /// Files of tests, and what in them runs the programs.
    tests: &'static [(&'static str, &'static str)],
}

const CMAKE: (&str, &str) = ("xtask/src/capi/cmake.rs", "fn examples(");
const README: (&str, &str) = ("xtask/src/readme.rs", "fn run(");
const IMAGES: (&str, &str) = ("python/tests/test_docs.py", "examples/images.py");

const TOPICS: &[Topic] = &[
    Topic {
        title: "01 newest",
        what: "the newest frame each time; missed ones are counted",
        programs: [&["producer", "reader"], &[], &[], &["images"]],
        tests: &[README, IMAGES],
    },
    Topic {
        title: "02 every frame",
        what: "each frame in order; missed ones are counted",
        programs: [&["camera", "detector", "logger"], &["server", "client"], &["server", "client"], &["images"]],
        tests: &[("crates/shmx/tests/three_programs.rs", "examples/logger.rs"), CMAKE, IMAGES],
    },
    Topic {
        title: "03 in place",
        what: "written where it is read: no copy",
        programs: [&["in_place"], &["in_place"], &["in_place"], &["images"]],
        tests: &[("crates/shmx/tests/examples.rs", "fn images_are_written_and_read_in_place"), CMAKE, IMAGES],
    },
    Topic {
        title: "04 control",
        what: "readers send messages back: another exposure, another rate",
        programs: [&["camera", "detector"], &["control"], &["control"], &[]],
        tests: &[("crates/shmx/tests/three_programs.rs", "examples/detector.rs"), CMAKE],
    },
    Topic {
        title: "05 images",
        what: "images with shape and pixel format, and what is found in them",
        programs: [&["camera", "detector"], &[], &[], &["images"]],
        tests: &[("crates/shmx/tests/three_programs.rs", "examples/camera.rs"), IMAGES],
    },
    Topic {
        title: "06 epoll and async",
        what: "regions, a socket and a timer in one event loop",
        programs: [&["event_loop", "event_loop_tokio"], &["epoll"], &["epoll"], &[]],
        tests: &[
            ("crates/shmx/tests/wait_fd.rs", "examples/event_loop.rs"),
            ("crates/shmx/tests/tokio.rs", "examples/event_loop_tokio.rs"),
            CMAKE,
        ],
    },
    Topic {
        title: "07 lossless",
        what: "a producer that overwrites nothing that a reader still needs",
        programs: [&["lossless_producer", "lossless_reader"], &[], &[], &[]],
        tests: &[("crates/shmx/tests/lossless.rs", "fn the_examples_lose_nothing_under_stalls_and_kills")],
    },
    Topic {
        title: "08 record and replay",
        what: "a region into a file and out of it, under another name",
        programs: [&["crates/shmx-record/examples/record_and_replay"], &[], &[], &[]],
        tests: &[("crates/shmx-record/tests/example.rs", "fn what_is_recorded_is_replayed_under_another_name")],
    },
    Topic {
        title: "09 follow",
        what: "frames read while they are written, line by line",
        programs: [&["slow_camera", "slow_viewer"], &["slow_viewer"], &["slow_camera"], &["slow_camera"]],
        tests: &[("crates/shmx/tests/follow.rs", "examples/slow_viewer.rs"), CMAKE],
    },
    Topic {
        title: "10 two users and containers",
        what: "a region for a group; what containers must share",
        programs: [&["two_users"], &[], &[], &[]],
        tests: &[("crates/shmx/tests/examples.rs", "fn a_reader_of_another_user_is_let_in_by_the_group")],
    },
    Topic {
        title: "11 looking on",
        what: "without being noticed, with no more than the permission to read",
        programs: [&["monitor"], &["inspector"], &["inspector"], &[]],
        tests: &[("crates/shmx/tests/read_only.rs", "examples/monitor.rs"), CMAKE],
    },
    Topic {
        title: "12 several regions",
        what: "frames of two cameras that belong to one moment",
        programs: [&["two_cameras"], &[], &[], &[]],
        tests: &[("crates/shmx/tests/align.rs", "examples/two_cameras.rs")],
    },
    Topic {
        title: "13 in a viewer",
        what: "a region live, or a recording, in Rerun",
        programs: [&[], &[], &[], &["rerun_live", "rerun_recording"]],
        tests: &[("xtask/src/live/rerun.rs", "rerun_live.py"), ("xtask/src/live/rerun.rs", "rerun_recording.py")],
    },
    Topic {
        title: "14 without this library",
        what: "the format read by its definition alone",
        programs: [&["crates/shmx-abi/examples/foreign_reader"], &[], &[], &[]],
        tests: &[("crates/shmx-abi/tests/foreign_reader.rs", "examples/foreign_reader.rs")],
    },
];

/// Writes the table.
pub(crate) fn write() -> Result<()> {
    let table = table()?;
    fs::create_dir_all(Path::new(TABLE).parent().context("no folder")?)?;
    fs::write(TABLE, table).with_context(|| format!("write {TABLE}"))
}

/// That the table is as it would be written, that all files and tests are there, and that no example is left out.
pub(crate) fn check() -> Result<()> {
    let table = table()?;
    ensure!(fs::read_to_string(TABLE).is_ok_and(|have| have == table), "{TABLE} is old; run `cargo xtask examples`");
    let mut left = BTreeSet::new();
    for (folder, ending) in FOLDERS {
        let entries = fs::read_dir(folder).with_context(|| format!("read {folder}"))?;
        let names = entries.filter_map(|e| e.ok()?.file_name().into_string().ok());
        let files = names.filter(|n| n.ends_with(&format!(".{ending}"))).map(|n| format!("{folder}/{n}"));
        left.extend(files.filter(|f| !OTHERS.contains(&f.as_str())));
    }
    for topic in TOPICS {
        for file in topic.files() {
            left.remove(&file);
        }
    }
    ensure!(left.is_empty(), "examples that xtask/src/examples.rs does not list: {left:?}");
    Ok(())
}

impl Topic {
    /// The files, by language.
    fn by_language(&self) -> [Vec<String>; 4] {
        let usual = [(RUST, "rs"), (CPP, "cpp"), (C, "c"), ("python/examples", "py")];
        std::array::from_fn(|i| {
            let (folder, ending) = usual[i];
            let file = |p: &&str| {
                if p.contains('/') { format!("{p}.{ending}") } else { format!("{folder}/{p}.{ending}") }
            };
            self.programs[i].iter().map(file).collect()
        })
    }

    fn files(&self) -> Vec<String> {
        self.by_language().into_iter().flatten().collect()
    }
}

fn table() -> Result<String> {
    let mut text = String::from(
        "# Examples\n\n<!-- Made by `cargo xtask examples`; `cargo xtask house` compares. -->\n\n\
         The programs lie in their packages, where cargo, CMake and pip find them. Each is run by a test; the last column\n\
         says which.\n\n\
         ```sh\n\
         cargo run -p shmx --example producer        # 01: and `reader` in another terminal\n\
         cargo run -p shmx --example camera          # 02, 04, 05: and `detector`, then `logger`, in two others\n\
         cmake -S crates/shmx-capi/examples -B build # after `cargo xtask install --prefix DIR`\n\
         python python/examples/images.py            # after `pip install ./python numpy`\n\
         ```\n\n\
         The first line of each file has its arguments.\n\n\
         | | Rust | C++ | C | Python | run by |\n|---|---|---|---|---|---|\n",
    );
    for topic in TOPICS {
        write!(text, "| **{}**: {} |", topic.title, topic.what)?;
        for files in topic.by_language() {
            let mut links = Vec::new();
            // A name that is wrong here is found by `check`, which misses the right one.
            for file in files.into_iter().filter(|f| Path::new(f).exists()) {
                let stem = Path::new(&file).file_stem().unwrap_or_default().to_string_lossy().into_owned();
                links.push(format!("[{stem}](../{file})"));
            }
            write!(text, " {} |", links.join(", "))?;
        }
        let mut tests = Vec::new();
        for (file, what) in topic.tests {
            let source = fs::read_to_string(file).with_context(|| format!("read {file}"))?;
            ensure!(source.contains(what), "{file} does not have `{what}`");
            let name = Path::new(file).file_name().unwrap_or_default().to_string_lossy().into_owned();
            let link = format!("[{name}](../{file})");
            if !tests.contains(&link) {
                tests.push(link);
            }
        }
        ensure!(!tests.is_empty(), "{} is run by no test", topic.title);
        writeln!(text, " {} |", tests.join(", "))?;
    }
    text.push_str(
        "\nWhole programs: a simulation with its renderer, and an optimiser to watch, in\n\
         [`crates/shmx-patterns`](../crates/shmx-patterns): [docs/patterns.md](../docs/patterns.md).\n",
    );
    Ok(text)
}
