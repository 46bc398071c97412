//! How commands end: one table of exit codes for all of them.
//!
//! | code | meaning |
//! |---|---|
//! | 0 | done |
//! | 1 | failed, or not done: the reason is the last line on stderr |
//! | 2 | wrong usage |
//! | 3 | done, but frames are missing from the result; how many is on stderr |

use std::process::ExitCode;

const FAILED: u8 = 1;
const WRONG_USAGE: u8 = 2;
const INCOMPLETE: u8 = 3;

/// The command line made no sense.
#[derive(Debug)]
struct Usage(String);

/// It was done, but not with everything that there was.
#[derive(Debug)]
struct Incomplete(String);

macro_rules! error {
    ($($name:ident),*) => {$(
        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl std::error::Error for $name {}
    )*};
}
error!(Usage, Incomplete);

/// An error with exit code 2.
pub(crate) fn usage(words: impl Into<String>) -> anyhow::Error {
    Usage(words.into()).into()
}

/// An error with exit code 3.
pub(crate) fn incomplete(words: impl Into<String>) -> anyhow::Error {
    Incomplete(words.into()).into()
}

/// A signal came before the command was done.
pub(crate) fn interrupted(not_done: &str) -> anyhow::Error {
    anyhow::anyhow!("interrupted: {not_done}")
}

/// Ends as another program did, which has said why.
pub(crate) fn as_other(code: i32) -> ! {
    std::process::exit(code)
}

/// The exit code of wrong usage.
pub(crate) fn wrong_usage() -> ExitCode {
    ExitCode::from(WRONG_USAGE)
}

/// The exit code of an error.
pub(crate) fn code(e: &anyhow::Error) -> ExitCode {
    ExitCode::from(if e.is::<Usage>() {
        WRONG_USAGE
    } else if e.is::<Incomplete>() {
        INCOMPLETE
    } else {
        FAILED
    })
}
