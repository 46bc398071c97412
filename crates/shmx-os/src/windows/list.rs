//! The named sections of this session, and the global ones.
//!
//! No documented Win32 call lists kernel objects by name, so this asks the system calls below it, which are described
//! publicly and have been the same since the first versions of the system.

use std::io;
use std::os::windows::io::{AsRawHandle, OwnedHandle};
use std::ptr;

use windows_sys::Win32::Foundation::{HANDLE, NTSTATUS, RtlNtStatusToDosError, UNICODE_STRING};
use windows_sys::Win32::System::Memory::FILE_MAP_READ;
use windows_sys::Win32::System::RemoteDesktop::ProcessIdToSessionId;

use super::handle::own;
use super::view::View;
use crate::entry::RegionEntry;
use crate::error::OsError;
use crate::name::RegionName;

const STEP: &str = "list shared-memory objects";
const DIRECTORY_QUERY: u32 = 1;
/// More names than any system holds; a bound, so that a directory that keeps growing ends.
const MOST: usize = 1 << 20;

/// Where and by what name a directory object is found.
#[repr(C)]
struct ObjectAttributes {
    len: u32,
    root: HANDLE,
    name: *const UNICODE_STRING,
    attributes: u32,
    security_descriptor: *const u8,
    security_quality: *const u8,
}

/// What a directory says of one entry; the strings' texts lie behind it in the same buffer.
#[repr(C)]
struct DirectoryEntry {
    name: UNICODE_STRING,
    type_name: UNICODE_STRING,
}

#[link(name = "ntdll")]
unsafe extern "system" {
    fn NtOpenDirectoryObject(handle: *mut HANDLE, access: u32, attributes: *const ObjectAttributes) -> NTSTATUS;
    fn NtQueryDirectoryObject(
        directory: HANDLE,
        buffer: *mut u64,
        len: u32,
        single: u8,
        restart: u8,
        context: *mut u32,
        written: *mut u32,
    ) -> NTSTATUS;
}

pub(crate) fn list() -> Result<Vec<RegionEntry>, OsError> {
    let mut session = 0;
    // SAFETY: `session` is valid for writes.
    if unsafe { ProcessIdToSessionId(std::process::id(), &raw mut session) } == 0 {
        return Err(OsError::os(STEP, io::Error::last_os_error()));
    }
    let global = "\\BaseNamedObjects";
    // Services live in session 0, whose own names are the global ones.
    let names = if session == 0 {
        sections(global, "").map_err(|error| OsError::os(STEP, error))?
    } else {
        let own = format!("\\Sessions\\{session}\\BaseNamedObjects");
        let mut names = sections(&own, "").map_err(|error| OsError::os(STEP, error))?;
        // These may be closed to us.
        names.extend(sections(global, "Global\\").unwrap_or_default());
        names
    };
    Ok(names.into_iter().filter_map(entry).collect())
}

/// `None` if it has gone, or may not be read.
fn entry(name: RegionName) -> Option<RegionEntry> {
    let len = View::open(&name, FILE_MAP_READ).ok()?.len as u64;
    Some(RegionEntry { name, len, modified: None, uid: 0, gid: 0, mode: 0 })
}

fn check(status: NTSTATUS) -> io::Result<()> {
    if status >= 0 {
        return Ok(());
    }
    // SAFETY: a plain call without pointers.
    let code = unsafe { RtlNtStatusToDosError(status) };
    Err(io::Error::from_raw_os_error(code.cast_signed()))
}

fn open(directory: &str) -> io::Result<OwnedHandle> {
    let mut text: Vec<u16> = directory.encode_utf16().collect();
    let bytes = (text.len() * 2) as u16;
    let name = UNICODE_STRING { Length: bytes, MaximumLength: bytes, Buffer: text.as_mut_ptr() };
    let attributes = ObjectAttributes {
        len: size_of::<ObjectAttributes>() as u32,
        root: ptr::null_mut(),
        name: &raw const name,
        attributes: 0,
        security_descriptor: ptr::null(),
        security_quality: ptr::null(),
    };
    let mut handle = ptr::null_mut();
    // SAFETY: `handle` is valid for writes; the attributes, the name and its text outlive the call.
    check(unsafe { NtOpenDirectoryObject(&raw mut handle, DIRECTORY_QUERY, &raw const attributes) })?;
    // SAFETY: just opened.
    unsafe { own(handle) }.ok_or_else(|| io::Error::other("no handle"))
}

/// Walks through a directory at most, until two agree.
const WALKS: u32 = 8;

/// The sections in a directory, each with `prefix` before its name. Names that are no [`RegionName`] are left out.
///
/// A walk goes by position, so an object that goes meanwhile hides the one behind it. What stays is found by another
/// walk; names of objects that have gone do no harm.
fn sections(directory: &str, prefix: &str) -> io::Result<Vec<RegionName>> {
    let directory = open(directory)?;
    let mut all: Vec<RegionName> = Vec::new();
    let mut before = None;
    for _ in 0..WALKS {
        let found = walk(&directory, prefix);
        all.extend(found.iter().filter(|name| !all.contains(name)).cloned().collect::<Vec<_>>());
        if before.as_ref() == Some(&found) {
            break;
        }
        before = Some(found);
    }
    Ok(all)
}

fn walk(directory: &OwnedHandle, prefix: &str) -> Vec<RegionName> {
    // Aligned for the entry, and long enough for the longest two strings.
    let mut buffer = vec![0_u64; (size_of::<DirectoryEntry>() + 4 * 65536) / size_of::<u64>()];
    let len = size_of_val(buffer.as_slice()) as u32;
    let (mut context, mut written) = (0, 0);
    let mut names = Vec::new();
    for index in 0..MOST {
        let restart = u8::from(index == 0);
        // SAFETY: the handle is open with the right to query; the buffer is valid for writes of `len` bytes, and so are
        // the two words. One entry at a time.
        let status = unsafe {
            NtQueryDirectoryObject(
                directory.as_raw_handle(),
                buffer.as_mut_ptr(),
                len,
                1,
                restart,
                &raw mut context,
                &raw mut written,
            )
        };
        // The end is a warning, and any error ends the list as well.
        if status != 0 {
            break;
        }
        // SAFETY: the system has written one entry at the start of the buffer, which is aligned and long enough.
        let entry = unsafe { buffer.as_ptr().cast::<DirectoryEntry>().read() };
        if text(&buffer, &entry.type_name).as_deref() != Some("Section") {
            continue;
        }
        let name = text(&buffer, &entry.name).and_then(|name| RegionName::new(&format!("{prefix}{name}")).ok());
        names.extend(name);
    }
    names
}

/// The text of a string that the system has put into `buffer`; `None` if it lies elsewhere or is not Unicode.
fn text(buffer: &[u64], string: &UNICODE_STRING) -> Option<String> {
    let start = string.Buffer.addr().checked_sub(buffer.as_ptr().addr())? / 2;
    let units: &[u16] = bytes_as_units(buffer).get(start..start + usize::from(string.Length) / 2)?;
    String::from_utf16(units).ok()
}

fn bytes_as_units(buffer: &[u64]) -> &[u16] {
    // SAFETY: the same bytes as smaller, less aligned integers, for which every value is valid.
    let (_, units, _) = unsafe { buffer.align_to::<u16>() };
    units
}
