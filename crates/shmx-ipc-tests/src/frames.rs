//! Frames whose every byte follows from a seed and a number, so that a reader can check all of them.

use anyhow::{Context, Result, ensure};
use shmx::abi::frame::StreamPrefix;
use shmx::{Element, Following, Frame, FrameWriter, OwnedFrame, Server, ServerBuilder, StreamInfo, StreamSpec};
use std::time::Duration;

pub(crate) const NUMBER: u32 = 1;
pub(crate) const DATA: u32 = 2;
/// Streams added later have ids from here on.
pub(crate) const ADDED: u32 = 100;
/// Producer thread in the upper bits of a number.
pub(crate) const THREAD_SHIFT: u32 = 48;

/// What a server of such frames is made with.
pub(crate) fn server(name: &str) -> ServerBuilder {
    let number = StreamSpec::of::<u64>(NUMBER, "number");
    let data = StreamSpec::of::<u8>(DATA, "data");
    Server::builder(name).stream(number, 2).stream(data, 65000).slots(3).frame_bytes(65536)
}

/// `SplitMix64`.
pub(crate) fn mix(mut z: u64) -> u64 {
    z = z.wrapping_add(0x9E37_79B9_7F4A_7C15);
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

pub(crate) fn len_of(seed: u64, number: u64, max_len: u32) -> usize {
    (mix(seed ^ mix(number)) % (u64::from(max_len) + 1)) as usize
}

/// Fills with the bytes of frame `number`.
pub(crate) fn fill(seed: u64, number: u64, out: &mut [u8]) {
    let base = mix(seed.rotate_left(32) ^ number);
    for (i, chunk) in out.chunks_mut(8).enumerate() {
        let word = mix(base.wrapping_add(i as u64)).to_le_bytes();
        chunk.copy_from_slice(&word[..chunk.len()]);
    }
}

pub(crate) fn matches(seed: u64, number: u64, found: &[u8]) -> bool {
    let base = mix(seed.rotate_left(32) ^ number);
    found
        .chunks(8)
        .enumerate()
        .all(|(i, chunk)| mix(base.wrapping_add(i as u64)).to_le_bytes()[..chunk.len()] == *chunk)
}

/// Appends the streams of frame `number`, and of the newest added stream.
pub(crate) fn write(
    frame: &mut FrameWriter<'_>,
    seed: u64,
    number: u64,
    max_len: u32,
    added: Option<u32>,
) -> Result<()> {
    let len = len_of(seed, number, max_len);
    frame.append_stream(NUMBER, &[number, max_len.into()])?;
    fill(seed, number, frame.reserve_raw(DATA, len as u32)?);
    if let Some(id) = added {
        frame.append_stream(id, &[u64::from(id) ^ number])?;
    }
    Ok(())
}

/// The same in pieces of up to `piece` bytes, each of which followers may read at once, with a `pause` after each.
pub(crate) fn write_in_pieces(
    frame: &mut FrameWriter<'_>,
    seed: u64,
    number: u64,
    max_len: u32,
    (piece, pause): (usize, Duration),
    added: Option<u32>,
) -> Result<()> {
    let mut data = vec![0; len_of(seed, number, max_len)];
    fill(seed, number, &mut data);
    frame.append_stream(NUMBER, &[number, max_len.into()])?;
    let mut stream = frame.fill_stream::<u8>(DATA, data.len())?;
    for piece in data.chunks(piece.max(1)) {
        stream.write(piece)?;
        if !pause.is_zero() {
            std::thread::sleep(pause);
        }
    }
    if let Some(id) = added {
        frame.append_stream(id, &[u64::from(id) ^ number])?;
    }
    Ok(())
}

/// Checks what there is of a frame that is being written; returns how many bytes of its data there are.
pub(crate) fn check_part(part: &Following<'_>, seed: u64) -> Result<usize> {
    let mut numbers = None;
    let mut there = 0;
    for prefix in part.streams() {
        let StreamPrefix { stream, bytes } = prefix?;
        match stream.stream_id {
            NUMBER if stream.data.len() == 16 => numbers = words(stream.data),
            DATA => {
                let Some([number, max_len]) = numbers else { anyhow::bail!("data before its number") };
                ensure!(bytes as usize == len_of(seed, number, max_len as u32), "length of another frame");
                ensure!(matches(seed, number, stream.data), "bytes of another frame");
                there = stream.data.len();
            }
            _ => {}
        }
    }
    Ok(there)
}

/// A borrowed or an owned frame.
#[cfg_attr(not(all(target_os = "linux", target_arch = "x86_64")), allow(dead_code, reason = "for the steps"))]
pub(crate) trait Whole {
    fn id(&self) -> u64;
    fn session(&self) -> u64;
    fn leased(&self) -> bool;
    fn bytes(&self) -> &[u8];
    fn check(&self, seed: u64) -> Result<(u64, Option<u32>)>;
    fn described(&self, added: Option<u32>) -> Result<()>;
}

macro_rules! whole {
    ($($frame:ty),*) => { $(
        impl Whole for $frame {
            fn id(&self) -> u64 {
                self.frame_id()
            }
            fn session(&self) -> u64 {
                self.session_id()
            }
            fn leased(&self) -> bool {
                self.is_leased()
            }
            fn bytes(&self) -> &[u8] {
                self.payload()
            }
            fn check(&self, seed: u64) -> Result<(u64, Option<u32>)> {
                let found = self.decode()?;
                let announced = self.tlv_count();
                ensure!(found.len() == announced as usize, "{} streams, {announced} announced", found.len());
                let of = |id| found.iter().find(|s| s.stream_id == id);
                let numbers = of(NUMBER).context("no number")?;
                ensure!(numbers.elem_count == 2, "element count of another frame");
                let Some([number, max_len]) = words(numbers.data) else { anyhow::bail!("not two numbers") };
                ensure!(self.sim_time() == number as f64, "sim_time of another frame");
                let data = of(DATA).context("no data")?;
                ensure!(data.data.len() == len_of(seed, number, max_len as u32), "length of another frame");
                ensure!(data.elem_count as usize == data.data.len(), "element count of another frame");
                ensure!(matches(seed, number, data.data), "bytes of another frame");
                let mut added = None;
                for s in found.iter().filter(|s| s.stream_id >= ADDED) {
                    let value = u64::from(s.stream_id) ^ number;
                    ensure!(words(s.data) == Some([value]), "added stream of another frame");
                    added = Some(s.stream_id);
                }
                ensure!(found.len() == 2 + usize::from(added.is_some()), "{} streams", found.len());
                Ok((number, added))
            }
            fn described(&self, added: Option<u32>) -> Result<()> {
                for id in [Some(NUMBER), added].into_iter().flatten() {
                    let found = self.stream(id)?.context("no such stream")?;
                    ensure!(bytes_of(self.get::<u64>(id)?) == found.data, "other values than bytes");
                }
                Ok(())
            }
        }
    )* };
}
whole!(Frame<'_>, OwnedFrame);

/// Checks every byte, and that the directory describes them; returns the frame's number and its added stream.
pub(crate) fn check(view: &impl Whole, seed: u64) -> Result<(u64, Option<u32>)> {
    let (number, added) = view.check(seed)?;
    view.described(added)?;
    Ok((number, added))
}

/// The same without the directory, which somebody may have damaged.
#[cfg_attr(not(all(target_os = "linux", target_arch = "x86_64")), allow(dead_code, reason = "for the steps"))]
pub(crate) fn check_bytes(view: &impl Whole, seed: u64) -> Result<(u64, Option<u32>)> {
    view.check(seed)
}

/// Exactly `N` words.
fn words<const N: usize>(bytes: &[u8]) -> Option<[u64; N]> {
    let (words, rest) = bytes.as_chunks::<8>();
    let words: &[_; N] = words.try_into().ok().filter(|_| rest.is_empty())?;
    Some(words.map(u64::from_le_bytes))
}

fn bytes_of(words: &[u64]) -> Vec<u8> {
    words.iter().flat_map(|w| w.to_le_bytes()).collect()
}

pub(crate) fn added_stream(id: u32) -> StreamSpec {
    StreamSpec::of::<u64>(id, format!("added {id}")).extra(id.to_le_bytes())
}

pub(crate) fn is_added_stream(s: &StreamInfo) -> bool {
    s.element_type() == Some(<u64 as Element>::TYPE)
        && s.name == format!("added {}", s.id).as_bytes()
        && s.extra == s.id.to_le_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_changed_byte_is_noticed() {
        let mut bytes = vec![0; 41];
        fill(3, 9, &mut bytes);
        assert!(matches(3, 9, &bytes));
        assert!(!matches(3, 10, &bytes));
        assert!(!matches(4, 9, &bytes));
        bytes[40] ^= 1;
        assert!(!matches(3, 9, &bytes));
    }
}
