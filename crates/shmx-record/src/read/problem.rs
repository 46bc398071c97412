//! What in a file could not be read.

use std::fmt;
use std::path::PathBuf;

/// Something in a file that could not be read.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Problem {
    /// The file has no end: its recorder was killed or could not write on, or it was cut.
    Unfinished {
        /// The file.
        path: PathBuf,
        /// Where reading ended.
        at: u64,
        /// Bytes from there that are not a whole record.
        left: u64,
    },
    /// From here on the file makes no sense.
    Lost {
        /// The file.
        path: PathBuf,
        /// Where.
        at: u64,
        /// Bytes from there to the end.
        left: u64,
        /// What was found.
        what: String,
    },
    /// The file has a name like the others and is of another recording, an earlier one perhaps; it was left out.
    OtherRecording {
        /// The file.
        path: PathBuf,
    },
    /// A record or a chunk is damaged; reading went on behind it.
    Damaged {
        /// The file.
        path: PathBuf,
        /// Where it begins.
        at: u64,
        /// Its bytes.
        len: u64,
        /// What is wrong.
        what: String,
    },
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unfinished { path, at, left } => {
                write!(f, "{}: not finished; readable up to byte {at}", path.display())?;
                if *left > 0 { write!(f, ", {left} bytes behind it are half a record") } else { Ok(()) }
            }
            Self::Lost { path, at, left, what } => {
                write!(f, "{}: {what} at byte {at}; the {left} bytes from there cannot be read", path.display())
            }
            Self::OtherRecording { path } => {
                write!(f, "{}: left over from another recording; left out, give it alone to read it", path.display())
            }
            Self::Damaged { path, at, len, what } => {
                write!(f, "{}: {what} in the {len} bytes from byte {at}; left out", path.display())
            }
        }
    }
}
