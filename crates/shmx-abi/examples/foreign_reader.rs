//! Reads a live region, or a dump of one, with `shmx-abi` and the standard library alone.
//!
//! ```text
//! cargo run -p shmx-abi --example foreign_reader -- NAME_OR_PATH
//! ```
//!
//! Nothing is mapped and nothing is written: the bytes come through plain positioned reads, so this is also the
//! shortest description of what a reader in another language has to do. A live region changes while it is read; a
//! frame is taken only if its slot's stamp was even before and the same after the payload was copied (for a server
//! without the extension: if the slot's header stayed the same and the checksum fits).

use shmx_abi::directory::{Directory, StreamEntry};
use shmx_abi::extension::Features;
use shmx_abi::frame::Streams;
use shmx_abi::wire::read_at;
use shmx_abi::{ElementType, FRAME_HEADER_LEN, FrameHeader, GLOBAL_HEADER_LEN, GlobalHeader, RegionLayout, hash};
use std::fs::File;
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

/// Reads that a busy writer may spoil before we give up.
const ATTEMPTS: u32 = 1000;
/// Elements of a stream that are printed.
const SHOWN: usize = 8;

/// What went wrong, in words.
pub(crate) type Failure = Box<dyn std::error::Error>;

/// A frame as it was copied out of its slot.
#[derive(Debug)]
pub(crate) struct Frame {
    /// Number of the slot.
    pub(crate) slot: u32,
    /// Its header.
    pub(crate) header: FrameHeader,
    /// Its payload.
    pub(crate) payload: Vec<u8>,
}

/// The bytes `offset..offset + len` of the file.
fn bytes_at(file: &File, offset: u64, len: usize) -> Result<Vec<u8>, Failure> {
    let mut bytes = vec![0; len];
    #[cfg(unix)]
    std::os::unix::fs::FileExt::read_exact_at(file, &mut bytes, offset)?;
    #[cfg(windows)]
    {
        let mut at = 0;
        while at < len {
            match std::os::windows::fs::FileExt::seek_read(file, &mut bytes[at..], offset + at as u64)? {
                0 => return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into()),
                n => at += n,
            }
        }
    }
    Ok(bytes)
}

/// The region's header, checked against the size that the file has now.
fn header(file: &File) -> Result<(GlobalHeader, RegionLayout), Failure> {
    let available = file.metadata()?.len();
    let len = GLOBAL_HEADER_LEN as usize;
    if available < len as u64 {
        return Err(shmx_abi::LayoutError::ShorterThanHeader { available }.into());
    }
    let header: GlobalHeader = read_at(&bytes_at(file, 0, len)?, 0).ok_or("the header is cut off")?;
    let layout = RegionLayout::from_header(&header, available)?;
    Ok((header, layout))
}

/// The used bytes of the stream directory, read between two equal reads of its generation.
pub(crate) fn directory(file: &File) -> Result<Vec<u8>, Failure> {
    for _ in 0..ATTEMPTS {
        let (before, layout) = header(file)?;
        if before.static_bytes_used > layout.static_bytes_cap() {
            return Err("the stream directory claims more bytes than its area has".into());
        }
        let bytes = bytes_at(file, layout.static_offset().into(), before.static_bytes_used as usize)?;
        let (after, _) = header(file)?;
        let mark = |h: &GlobalHeader| (h.session_id, h.static_gen, h.static_bytes_used, h.static_hash);
        if mark(&before) == mark(&after) {
            return Ok(bytes);
        }
    }
    Err("the stream directory kept changing while it was read".into())
}

/// The newest frame, or `None` if there is none yet.
pub(crate) fn latest(file: &File) -> Result<Option<Frame>, Failure> {
    let mut reason = "";
    for attempt in 0..ATTEMPTS {
        if attempt > 100 {
            std::thread::sleep(std::time::Duration::from_micros(100));
        }
        let (region, layout) = header(file)?;
        let features = Features::of(&region);
        let Some(slot) = layout.slot_of_sequence(region.write_index) else { return Ok(None) };
        let start = layout.frame_slot(slot).ok_or("the newest frame's slot does not exist")? as u64;
        let slot_header = || -> Result<FrameHeader, Failure> {
            let bytes = bytes_at(file, start, FRAME_HEADER_LEN as usize)?;
            Ok(read_at(&bytes, 0).ok_or("the slot's header is cut off")?)
        };
        let before = slot_header()?;
        reason = "the slot was being written";
        if features.is_extended() && before.ext_stamp % 2 == 1 {
            continue;
        }
        reason = "the slot held no frame of this session";
        if before.payload_bytes == 0 || before.session_id_copy != region.session_id {
            continue;
        }
        reason = "the frame claimed more bytes than a frame can have";
        if before.payload_bytes > layout.frame_bytes_cap() {
            continue;
        }
        let payload = bytes_at(file, start + u64::from(FRAME_HEADER_LEN), before.payload_bytes as usize)?;
        let after = slot_header()?;
        let mark = |h: &FrameHeader| (h.ext_stamp, h.frame_id, h.payload_bytes, h.checksum, h.session_id_copy);
        reason = "the frame was overwritten while it was read";
        if mark(&before) != mark(&after) {
            continue;
        }
        reason = "the frame's checksum did not fit";
        if features.has_checksum(before.ext_stamp) && hash::checksum32(&payload) != before.checksum {
            continue;
        }
        return Ok(Some(Frame { slot, header: before, payload }));
    }
    Err(format!("no frame could be read in {ATTEMPTS} attempts; the last time {reason}").into())
}

/// Half precision, widened.
fn half_to_f32(bits: u16) -> f32 {
    let sign = if bits >> 15 == 1 { -1.0 } else { 1.0 };
    let (exponent, fraction) = (i32::from(bits >> 10 & 0x1F), f32::from(bits & 0x3FF));
    match exponent {
        0 => sign * fraction * 2_f32.powi(-24),
        31 if fraction == 0.0 => sign * f32::INFINITY,
        31 => f32::NAN,
        _ => sign * (1024.0 + fraction) * 2_f32.powi(exponent - 25),
    }
}

/// One component in words; `bytes` has the type's size.
fn component(ty: ElementType, bytes: &[u8]) -> Option<String> {
    Some(match ty {
        ElementType::Bool => (*bytes.first()? != 0).to_string(),
        ElementType::I8 => i8::from_ne_bytes(bytes.try_into().ok()?).to_string(),
        ElementType::U8 => u8::from_ne_bytes(bytes.try_into().ok()?).to_string(),
        ElementType::I16 => i16::from_ne_bytes(bytes.try_into().ok()?).to_string(),
        ElementType::U16 => u16::from_ne_bytes(bytes.try_into().ok()?).to_string(),
        ElementType::I32 => i32::from_ne_bytes(bytes.try_into().ok()?).to_string(),
        ElementType::U32 => u32::from_ne_bytes(bytes.try_into().ok()?).to_string(),
        ElementType::I64 => i64::from_ne_bytes(bytes.try_into().ok()?).to_string(),
        ElementType::U64 => u64::from_ne_bytes(bytes.try_into().ok()?).to_string(),
        ElementType::F16 => half_to_f32(u16::from_ne_bytes(bytes.try_into().ok()?)).to_string(),
        ElementType::Bf16 => f32::from_bits(u32::from(u16::from_ne_bytes(bytes.try_into().ok()?)) << 16).to_string(),
        ElementType::F32 => f32::from_ne_bytes(bytes.try_into().ok()?).to_string(),
        ElementType::F64 => f64::from_ne_bytes(bytes.try_into().ok()?).to_string(),
        _ => return None,
    })
}

/// The first elements of a stream in words; bytes where the directory does not say what they are.
fn values(data: &[u8], entry: Option<&StreamEntry<'_>>) -> String {
    let typed = entry.and_then(|e| Some((e.element_type()?, e.components.max(1) as usize)));
    let Some((ty, components)) = typed else {
        let bytes: Vec<_> = data.iter().take(SHOWN * 4).map(|b| format!("{b:02x}")).collect();
        return format!("bytes {}{}", bytes.join(" "), if data.len() > SHOWN * 4 { " ..." } else { "" });
    };
    let size = ty.size() as usize;
    let element = size.saturating_mul(components);
    let one = |bytes: &[u8]| {
        let parts: Vec<_> = bytes.chunks_exact(size).take(SHOWN * 4).filter_map(|c| component(ty, c)).collect();
        if components == 1 { parts.concat() } else { format!("({})", parts.join(", ")) }
    };
    let shown: Vec<_> = data.chunks_exact(element).take(SHOWN).map(one).collect();
    format!("{}{}", shown.join(", "), if data.len() / element > SHOWN { ", ..." } else { "" })
}

/// Prints the directory and the newest frame of the region in `file`.
pub(crate) fn show(out: &mut dyn Write, file: &File) -> Result<(), Failure> {
    let (region, layout) = header(file)?;
    writeln!(
        out,
        "session {:#018x}, {} bytes, {} frame slots",
        region.session_id,
        layout.total_bytes(),
        layout.slots()
    )?;
    let directory = directory(file)?;
    let mut entries = Vec::new();
    writeln!(out, "directory, generation {}:", region.static_gen)?;
    for entry in Directory::new(&directory) {
        let entry = entry?;
        let ty = entry.element_type().map_or(format!("type {}", entry.element_type_code), |t| t.to_string());
        let name = String::from_utf8_lossy(entry.name);
        writeln!(out, "  {:>5} {name:?}: {ty} x {}", entry.stream_id, entry.components)?;
        entries.push(entry);
    }
    let Some(frame) = latest(file)? else {
        writeln!(out, "no frame yet")?;
        return Ok(());
    };
    let FrameHeader { frame_id, sim_time, payload_bytes, .. } = frame.header;
    writeln!(out, "frame {frame_id} in slot {}, time {sim_time}, {payload_bytes} bytes:", frame.slot)?;
    for stream in Streams::new(&frame.payload) {
        let stream = stream?;
        let entry = entries.iter().find(|e| e.stream_id == stream.stream_id);
        writeln!(out, "  {:>5} x {}: {}", stream.stream_id, stream.elem_count, values(stream.data, entry))?;
    }
    Ok(())
}

/// A path as it is; a name in the place where POSIX shared memory objects appear as files.
fn locate(name: &str) -> PathBuf {
    let bare = name.strip_prefix('/').unwrap_or(name);
    let shm = PathBuf::from("/dev/shm").join(bare);
    if cfg!(target_os = "linux") && !bare.is_empty() && !bare.contains('/') && shm.is_file() {
        shm
    } else {
        name.into()
    }
}

fn main() -> ExitCode {
    let mut args = std::env::args().skip(1);
    let (Some(name), None) = (args.next(), args.next()) else {
        eprintln!("usage: foreign_reader NAME_OR_PATH");
        return ExitCode::from(2);
    };
    let path = locate(&name);
    let result = File::open(&path)
        .map_err(|e| format!("cannot open {}: {e}", path.display()).into())
        .and_then(|file| show(&mut io::stdout().lock(), &file));
    match result {
        Ok(()) => ExitCode::SUCCESS,
        // Whoever read our output has seen enough.
        Err(e) if e.downcast_ref::<io::Error>().is_some_and(|e| e.kind() == io::ErrorKind::BrokenPipe) => {
            ExitCode::SUCCESS
        }
        Err(e) => {
            eprintln!("foreign_reader: {e}");
            ExitCode::FAILURE
        }
    }
}
