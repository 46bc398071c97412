//! Examples that no other suite runs: frames written and read in place, and two users.
#![cfg(target_os = "linux")]

#[path = "../examples/in_place.rs"]
mod in_place;
#[path = "../examples/two_users.rs"]
mod two_users;

use crate::common::{LIMIT, this_program, unique, within_limit};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};

/// Says in a child which example it is.
const PART: &str = "SHMX_TEST_EXAMPLE";
/// A user without rights. Its group is the server's.
const NOBODY: u32 = 65534;

/// Not a test by itself.
#[test]
fn one_of_the_examples() {
    match std::env::var(PART).as_deref() {
        Ok("in_place") => in_place::main().unwrap(),
        Ok("two_users") => two_users::main().unwrap(),
        _ => {}
    }
}

/// An example; its arguments are filters to the test harness, too.
fn example(part: &str, arguments: &[&str]) -> Command {
    let mut command = this_program();
    command.args(arguments).args(["examples::one_of_the_examples", "--exact", "--nocapture"]).env(PART, part);
    command.current_dir("/").stdout(Stdio::piped());
    command
}

/// What it printed, between the lines of the test harness.
fn said(child: Child) -> String {
    let out = child.wait_with_output().unwrap();
    let text = String::from_utf8_lossy(&out.stdout).into_owned();
    assert!(out.status.success(), "{}: {text}", out.status);
    text
}

#[test]
fn images_are_written_and_read_in_place() {
    let child = example("in_place", &[&unique("place"), "50"]).spawn().unwrap();
    let text = said(child);
    let line = text.lines().find(|l| l.contains("whole images")).unwrap_or_else(|| panic!("{text}"));
    let numbers: Vec<u64> = line.split_whitespace().filter_map(|w| w.parse().ok()).collect();
    // The newest each time: at least the last one.
    assert!(numbers[0] >= 1 && numbers[0] == numbers[1], "{line}");
}

#[test]
fn a_reader_of_another_user_is_let_in_by_the_group() {
    let name = unique("users");
    let server = example("two_users", &["serve", &name]).spawn().unwrap();
    let object = format!("/dev/shm/{name}");
    assert!(within_limit(|| std::fs::metadata(&object).is_ok()), "no region within {LIMIT:?}");
    assert_eq!(std::fs::metadata(&object).unwrap().permissions().mode() & 0o777, 0o660);
    let mut reader = example("two_users", &["read", &name]);
    // Only root can start it as somebody else, and that user may not be let run this program; then it is the same one.
    let as_another = std::fs::read_to_string("/proc/self/status").unwrap().contains("\nUid:\t0\t");
    let tried = if as_another { reader.uid(NOBODY).spawn() } else { reader.spawn() };
    let reader = match tried {
        Ok(child) => child,
        Err(e) if e.kind() == std::io::ErrorKind::PermissionDenied => {
            println!("not as another user: {e}");
            example("two_users", &["read", &name]).spawn().unwrap()
        }
        Err(e) => panic!("{e}"),
    };
    let read = said(reader);
    assert_eq!(read.lines().filter(|l| l.starts_with("tick ")).count(), 10, "{read}");
    assert!(said(server).contains("it is enough"));
    assert!(std::fs::metadata(&object).is_err(), "the region is left");
}
