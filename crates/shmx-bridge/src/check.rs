//! Whether a payload from the network is one that the region's own producer could have written.

use shmx::abi::TLV_FRAME_STREAM;
use shmx::abi::frame::{FrameError, Streams};
use shmx::abi::tlv::{TlvError, Tlvs, step};
use shmx::{Directory, StreamInfo};
use thiserror::Error;

/// A payload that does not fit its directory.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum Unsound {
    /// There is nothing in it.
    #[error("it is empty")]
    Empty,
    /// It is larger than frames of its region can be.
    #[error("it has {len} bytes, and frames of its region at most {cap}")]
    TooLarge {
        /// Its bytes.
        len: usize,
        /// The most there may be.
        cap: u32,
    },
    /// Its records cannot be read.
    #[error(transparent)]
    Records(#[from] TlvError),
    /// A stream's record cannot be read.
    #[error(transparent)]
    Stream(#[from] FrameError),
    /// It has other records than it says.
    #[error("it has {found} records and says {said}")]
    Count {
        /// Records in it.
        found: u32,
        /// As many as it says.
        said: u32,
    },
    /// A stream that the directory does not list.
    #[error("stream {id} is not in the directory")]
    Unlisted {
        /// Its number.
        id: u32,
    },
    /// A stream is in it twice.
    #[error("stream {id} is in it twice")]
    Twice {
        /// Its number.
        id: u32,
    },
    /// The data of a stream is not as long as its elements.
    #[error("stream {id} has {bytes} bytes for {elems} elements of {each}")]
    Length {
        /// Its number.
        id: u32,
        /// Bytes of its data.
        bytes: usize,
        /// Its elements.
        elems: u32,
        /// Bytes of one.
        each: u32,
    },
}

/// The stream that the directory lists under this number, if it has so many bytes for so many elements.
pub(crate) fn listed(directory: &Directory, id: u32, elems: u32, bytes: usize) -> Result<&StreamInfo, Unsound> {
    let stream = directory.stream(id).ok_or(Unsound::Unlisted { id })?;
    let each = stream.bytes_per_elem;
    if u64::from(elems) * u64::from(each) != bytes as u64 {
        return Err(Unsound::Length { id, bytes, elems, each });
    }
    Ok(stream)
}

/// Checks a whole payload: every record is a stream of the directory, no stream comes twice, and lengths agree.
///
/// # Errors
///
/// [`Unsound`].
pub fn check(payload: &[u8], tlv_count: u32, cap: u32, directory: &Directory) -> Result<(), Unsound> {
    if payload.is_empty() {
        return Err(Unsound::Empty);
    }
    if payload.len() as u64 > u64::from(cap) {
        return Err(Unsound::TooLarge { len: payload.len(), cap });
    }
    let mut found = 0;
    for record in Tlvs::new(payload) {
        let record = record?;
        found += 1;
        if record.ty != TLV_FRAME_STREAM {
            return Err(Unsound::Unlisted { id: record.ty });
        }
    }
    if found != tlv_count {
        return Err(Unsound::Count { found, said: tlv_count });
    }
    // A directory lists few streams; a frame that passes has no more records than that.
    let mut seen = Vec::new();
    for stream in Streams::new(payload) {
        let s = stream?;
        listed(directory, s.stream_id, s.elem_count, s.data.len())?;
        if seen.contains(&s.stream_id) {
            return Err(Unsound::Twice { id: s.stream_id });
        }
        seen.push(s.stream_id);
    }
    Ok(())
}

/// Bytes up to the end of the last record, its padding included as far as it is there. Fewer than eight bytes behind it
/// are no record, and would be taken for one where another follows.
pub(crate) fn records_len(payload: &[u8]) -> usize {
    let last = Tlvs::new(payload).map_while(Result::ok).last();
    let end = last.map_or(0, |t| (t.offset as u64).saturating_add(step(t.body.len() as u32)));
    usize::try_from(end).map_or(payload.len(), |end| end.min(payload.len()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use shmx::abi::frame::PayloadCursor;
    use shmx::{Server, Stream};

    fn payload(streams: &[(u32, u32, &[u8])]) -> (Vec<u8>, u32) {
        let (mut payload, mut cursor) = (vec![0; 4096], PayloadCursor::new());
        for &(id, count, data) in streams {
            cursor.append(&mut payload, id, count, data).unwrap();
        }
        payload.truncate(cursor.used() as usize);
        (payload, cursor.tlv_count())
    }

    #[test]
    fn only_what_a_producer_could_have_written_passes() {
        let name = format!("shmx-t-bridge-check-{}", std::process::id());
        let server = Server::builder(&name).stream(Stream::<[f32; 3]>::new(1, "p"), 9).create().unwrap();
        let directory = server.directory();
        let test = |streams: &[(u32, u32, &[u8])]| {
            let (bytes, count) = payload(streams);
            check(&bytes, count, 4096, &directory)
        };
        assert_eq!(test(&[(1, 2, &[0; 24])]), Ok(()));
        assert_eq!(test(&[]), Err(Unsound::Empty));
        assert_eq!(test(&[(2, 2, &[0; 24])]), Err(Unsound::Unlisted { id: 2 }));
        assert_eq!(test(&[(1, 2, &[0; 23])]), Err(Unsound::Length { id: 1, bytes: 23, elems: 2, each: 12 }));
        assert_eq!(test(&[(1, 0, &[]), (1, 0, &[])]), Err(Unsound::Twice { id: 1 }));
        let (bytes, count) = payload(&[(1, 2, &[0; 24])]);
        assert_eq!(check(&bytes, count + 1, 4096, &directory), Err(Unsound::Count { found: 1, said: 2 }));
        assert_eq!(check(&bytes, count, 16, &directory), Err(Unsound::TooLarge { len: bytes.len(), cap: 16 }));
        assert!(matches!(check(&bytes[..32], count, 4096, &directory), Err(Unsound::Records(_))));
        let mut foreign = bytes.clone();
        foreign[0] = 1;
        assert!(matches!(check(&foreign, count, 4096, &directory), Err(Unsound::Unlisted { .. })));
    }

    #[test]
    fn bytes_behind_the_last_record_belong_to_none() {
        let (bytes, _) = payload(&[(1, 2, &[0; 20])]);
        assert_eq!(records_len(&bytes), bytes.len());
        // A record may lack its padding.
        assert_eq!(records_len(&bytes[..bytes.len() - 1]), bytes.len() - 1);
        for more in 1..8 {
            let longer = [&bytes[..], &[2; 7][..more]].concat();
            assert_eq!(records_len(&longer), bytes.len(), "{more}");
        }
        assert_eq!(records_len(&[]), 0);
    }
}
