//! A recording read back by the packages of others, whole and cut.

use crate::interop::{self, output};
use crate::record::setting::{Running, Setting};
use anyhow::{Result, ensure};
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// With all that they need: what a reader makes of a cut file is theirs to change.
const PACKAGES: &[&str] = &[
    "mcap==1.6.0",
    "mcap-protobuf-support==0.6.0",
    "foxglove-schemas-protobuf==0.4.0",
    "protobuf==7.36.2",
    "lz4==4.4.5",
    "zstandard==0.25.0",
];

/// Streams of the file that is read back: id, name, type, components, elements, and the size of an image.
pub(crate) const STREAMS: &[(u32, &str, &str, u32, u32, &str)] = &[
    (1, "f32", "f32", 1, 5, ""),
    (2, "position", "f32", 3, 4, ""),
    (3, "f64", "f64", 1, 1, ""),
    (4, "place", "f64", 3, 2, ""),
    (5, "i64", "i64", 1, 2, ""),
    (6, "u64", "u64", 1, 2, ""),
    (7, "i8", "i8", 1, 3, ""),
    (8, "u8", "u8", 2, 3, ""),
    (9, "i16", "i16", 1, 2, ""),
    (10, "u16", "u16", 4, 2, ""),
    (11, "i32", "i32", 1, 2, ""),
    (12, "u32", "u32", 1, 2, ""),
    (13, "f16", "f16", 1, 3, ""),
    (14, "bf16", "bf16", 1, 3, ""),
    (15, "bool", "bool", 1, 5, ""),
    (16, "image", "u8", 3, 512, "32x16"),
    (17, "wave", "f32", 1, 300, ""),
];
pub(crate) const FRAMES: usize = 120;
/// They are published in parts, the next when the one before is in the file.
const PARTS: usize = 4;

fn size_of(ty: &str) -> usize {
    match ty {
        "bool" | "i8" | "u8" => 1,
        "i16" | "u16" | "f16" | "bf16" => 2,
        "f64" | "i64" | "u64" => 8,
        _ => 4,
    }
}

/// An interpreter with the packages.
pub(crate) fn packages(target: &Path) -> Result<PathBuf> {
    let python = interop::python(target)?;
    interop::install(&python, PACKAGES)?;
    Ok(python)
}

/// Publishes random bytes as streams of every type, records them, and has Python compare. The recording, and what was
/// found.
pub(crate) fn read_back(s: &Setting, python: &Path) -> Result<(PathBuf, String)> {
    let name = format!("shmx-readback-{}", std::process::id());
    let (file, file_text) = s.file("readback.mcap")?;
    let (data_path, _) = s.file("readback.bin")?;
    let script = s.dir.join("readback.py");
    fs::write(&script, include_str!("readback.py"))?;
    let per_frame: usize = STREAMS.iter().map(|t| size_of(t.2) * (t.3 * t.4) as usize).sum();
    let mut seed = 88_172_645_463_325_252_u64;
    let data: Vec<u8> = std::iter::repeat_with(|| {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        (seed >> 56) as u8
    })
    .take(per_frame * FRAMES)
    .collect();
    fs::write(&data_path, &data)?;
    let args = ["record", &name, "-o", &file_text, "--until-gone", "--compress", "zstd", "--flush", "20ms"];
    let mut recorder = s.recorder(&args, &file)?;
    // Room for every frame, however late the recorder is.
    let mut publish = s.shmx(&["publish", &name, "--hz", "400", "--slots", "128"]);
    for &(id, stream, ty, components, count, image) in STREAMS {
        let count = if image.is_empty() { count.to_string() } else { image.to_owned() };
        publish.args(["--stream", &format!("{id}:{stream}:{ty}x{components}*{count}")]);
    }
    let mut publisher = Running::start(publish.stdin(Stdio::piped()).stderr(Stdio::null()))?;
    let mut stdin = publisher.stdin()?;
    // A frame can be read once its chunk is finished, so each part has chunks of its own.
    for part in 1..=PARTS {
        let of = |part: usize| FRAMES / PARTS * part;
        stdin.write_all(&data[of(part - 1) * per_frame..of(part) * per_frame])?;
        stdin.flush()?;
        s.until_recorded(&file_text, of(part))?;
    }
    drop(stdin);
    publisher.wait("shmx publish")?;
    recorder.wait("shmx record")?;
    let segment = &s.info(&file_text)?["regions"][0]["segments"][0];
    ensure!(segment["frames"] == FRAMES && segment["missed"] == 0, "recorded: {segment}");
    let mut c = Command::new(python);
    c.arg(&script).arg(&file).arg(&name).arg(&data_path).arg(FRAMES.to_string());
    for &(id, stream, ty, components, count, image) in STREAMS {
        let image = if image.is_empty() { String::new() } else { format!(":{image}") };
        c.arg(format!("{id}:{stream}:{ty}:{components}:{count}{image}"));
    }
    let said = output(&mut c)?.trim().to_owned();
    Ok((file, said))
}
