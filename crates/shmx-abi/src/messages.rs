//! What the errors tell: each figure that one needs to find the fault, and nothing that was not found.

use crate::control::ControlCorrupt;
use crate::directory::DirectoryError;
use crate::frame::{FrameError, PayloadFull};
use crate::layout::LayoutError;
use crate::region::RegionError;
use crate::tlv::TlvError;
use std::string::ToString;

/// The text has each of these words, and is one sentence without an end.
#[track_caller]
fn tells(error: impl core::error::Error, words: &[&str]) {
    let text = error.to_string();
    for word in words {
        assert!(text.contains(word), "{text:?} does not tell {word:?}");
    }
    assert!(!text.ends_with('.') && !text.contains('\n'), "{text:?}");
}

#[test]
fn damaged_records_are_told_with_their_place() {
    let record = TlvError { offset: 7001, length: 7002, available: 7003 };
    tells(record, &["byte 7001", "7002 bytes", "7003 are left"]);
    let text = record.to_string();
    tells(DirectoryError::Truncated(record), &["stream directory", &text]);
    tells(DirectoryError::BadEntry { offset: 7001, length: 7002 }, &["stream directory", "byte 7001", "7002 bytes"]);
    tells(FrameError::Truncated(record), &["frame payload", &text]);
    tells(FrameError::BadStream { offset: 7001, length: 7002 }, &["frame payload", "byte 7001", "7002 bytes"]);
    tells(ControlCorrupt { position: 7001 }, &["control ring", "position 7001", "lost"]);
    tells(PayloadFull { needed: 7001, available: 7002 }, &["needs 7001 bytes", "7002 are left"]);
}

#[test]
fn impossible_layouts_are_told_with_what_is_possible() {
    let field = "slot_stride";
    tells(LayoutError::ShorterThanHeader { available: 7001 }, &["7001 bytes", "128"]);
    tells(LayoutError::BadMagic { found: 0x7001 }, &["not an SHMX region", "0x0000000000007001", "0x48494e415f53484d"]);
    tells(LayoutError::BadVersion { major: 7001, minor: 7002 }, &["7001.7002", "2.0"]);
    tells(LayoutError::BadEndianness { found: 0x7001 }, &["byte order", "0x00007001"]);
    tells(LayoutError::Zero { field }, &[field, "at least 1"]);
    tells(LayoutError::Misaligned { field, value: 7001 }, &[field, "7001", "multiple of 64"]);
    let overlap = LayoutError::Overlap { section: "frame slots", offset: 7001, earliest: 7002 };
    tells(overlap, &["frame slots", "byte 7001", "byte 7002"]);
    tells(LayoutError::StrideTooSmall { field, value: 7001, least: 7002 }, &[field, "7001", "7002 needed"]);
    tells(LayoutError::TooLarge { total: 7001 }, &["7001 bytes", "4 GiB", "fewer slots"]);
    tells(LayoutError::Truncated { total: 7001, available: 7002 }, &["7001 bytes", "has 7002"]);
    let directory = LayoutError::DirectoryTooLarge { needed: 7001, capacity: 7002 };
    tells(directory, &["7001 bytes", "static_bytes_cap is 7002", "raise it"]);
}

#[test]
fn impossible_frames_are_told_with_what_was_expected() {
    tells(RegionError::NoSuchSlot { index: 7001, slots: 7002 }, &["no slot 7001", "has 7002"]);
    tells(RegionError::Oversize { payload_bytes: 7001, frame_bytes_cap: 7002 }, &["7001 bytes", "at most 7002"]);
    tells(RegionError::ForeignSession { found: 0x7001, expected: 0x7002 }, &["session 0x7001", "0x7002"]);
    tells(RegionError::BeingWritten, &["being written"]);
    tells(RegionError::DirectoryOversize { used: 7001, capacity: 7002 }, &["7001 bytes", "has 7002"]);
}
