//! What several suites of the facade need.

use std::process::Command;

/// This program, behind the words of an emulator where the tests run in one.
pub(crate) fn this_program() -> Command {
    let program = std::env::current_exe().unwrap();
    let Ok(runner) = std::env::var("SHMX_RUNNER") else { return Command::new(program) };
    let mut words = runner.split_whitespace();
    let mut command = Command::new(words.next().unwrap());
    command.args(words).arg(program);
    command
}
