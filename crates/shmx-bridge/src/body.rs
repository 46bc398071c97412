//! The data of a frame on its way: the payload as it is, or some of its streams, each compressed or not.

use crate::check::{Unsound, listed};
use crate::codec::{Codec, CodecError, Codecs, Picture};
use crate::wire::{Part, Parts, WireError};
use serde::Deserialize;
use shmx::abi::frame::{PayloadCursor, Streams};
use shmx::{Directory, StreamInfo};
use thiserror::Error;

/// How the data of some streams is compressed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Compress {
    /// The stream, by name or number, or a pattern of names.
    pub stream: String,
    /// The codec.
    pub codec: Codec,
    /// Its level, or the quality of JPEG; 0 for the codec's default.
    #[serde(default)]
    pub level: u32,
}

impl Compress {
    fn is_for(&self, stream: &StreamInfo) -> bool {
        self.stream.parse() == Ok(stream.id) || crate::Patterns::new([&*self.stream]).matches(&stream.name_lossy())
    }

    /// Why a rule for one stream changes nothing, if it does not. A pattern may well match none, or some that are no
    /// images.
    pub(crate) fn in_vain(&self, directory: &Directory) -> Option<String> {
        let name = &self.stream;
        if name.starts_with("re:") || name.contains(['*', '?']) {
            return None;
        }
        match directory.streams.iter().find(|s| self.is_for(s)) {
            None => Some(format!("`compress` names `{name}`, which the region does not list")),
            Some(s) if self.codec == Codec::Jpeg && Picture::of(s).is_none() => {
                Some(format!("`{name}` is no rgb8, bgr8 or mono8 image, so the rule with jpeg does not count for it"))
            }
            Some(_) => None,
        }
    }
}

/// What is sent of each frame of a region: looked up once for each state of its directory.
#[derive(Clone, Debug, Default)]
pub struct Selection {
    /// Streams that are sent, and how; sorted by number.
    streams: Vec<(u32, Codec, u32, Option<Picture>)>,
    /// Every stream, as it is: then the payload is sent byte for byte.
    pub whole: bool,
}

impl Selection {
    /// Out of a directory: streams in both lists (an empty list names all), compressed by the first rule for each that
    /// the peer can undo.
    #[must_use]
    pub fn new(directory: &Directory, lists: [&[String]; 2], compress: &[Compress], codecs: u32) -> Self {
        let named = |s: &StreamInfo, list: &[String]| list.is_empty() || list.iter().any(|n| s.is_called(n));
        let mut all = true;
        let mut streams = Vec::new();
        for s in &directory.streams {
            if !lists.iter().all(|list| named(s, list)) {
                all = false;
                continue;
            }
            let picture = Picture::of(s);
            let fits = |c: &&Compress| {
                c.is_for(s) && codecs & c.codec.bit() != 0 && (c.codec != Codec::Jpeg || picture.is_some())
            };
            let (codec, level) = compress.iter().find(fits).map_or((Codec::None, 0), |c| (c.codec, c.level));
            streams.push((s.id, codec, level, picture));
        }
        streams.sort_unstable_by_key(|s| s.0);
        let whole = all && streams.iter().all(|s| s.1 == Codec::None);
        Self { streams, whole }
    }

    /// Appends the streams of a payload to a body. Gives how many they were.
    pub fn encode(&self, payload: &[u8], codecs: &dyn Codecs, body: &mut Vec<u8>) -> u32 {
        let (mut count, mut packed) = (0, Vec::new());
        for s in Streams::new(payload).map_while(Result::ok) {
            let Ok(at) = self.streams.binary_search_by_key(&s.stream_id, |s| s.0) else { continue };
            let (_, codec, level, picture) = &self.streams[at];
            packed.clear();
            // What does not get smaller is sent as it is.
            let smaller = *codec != Codec::None
                && codecs.compress(*codec, *level, picture.as_ref(), s.data, &mut packed).is_ok()
                && packed.len() < s.data.len();
            let (codec, data) = if smaller { (*codec, &packed[..]) } else { (Codec::None, s.data) };
            let len = s.data.len() as u32;
            Part { stream_id: s.stream_id, elem_count: s.elem_count, codec, len, data }.encode(body);
            count += 1;
        }
        count
    }
}

/// A body that cannot be made a payload.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum BodyError {
    /// Its parts cannot be read.
    #[error(transparent)]
    Wire(#[from] WireError),
    /// It does not fit the directory.
    #[error(transparent)]
    Unsound(#[from] Unsound),
    /// The data of a stream cannot be restored.
    #[error(transparent)]
    Codec(#[from] CodecError),
}

/// Makes a payload of the parts of a body. Nothing is restored whose length the directory does not confirm, and nothing
/// beyond `cap` bytes. Gives the number of records.
///
/// # Errors
///
/// [`BodyError`].
pub fn payload_of(
    parts: &[u8],
    cap: u32,
    directory: &Directory,
    codecs: &dyn Codecs,
    payload: &mut Vec<u8>,
) -> Result<u32, BodyError> {
    payload.clear();
    let mut cursor = PayloadCursor::new();
    for part in Parts::new(parts) {
        let Part { stream_id, elem_count, codec, len, data } = part?;
        let stream = listed(directory, stream_id, elem_count, len as usize)?;
        let too_large = Unsound::TooLarge { len: cursor.used() as usize + len as usize, cap };
        let need = shmx::abi::frame::stream_len(len as usize).and_then(|n| n.checked_add(cursor.used()));
        let need = need.filter(|&n| n <= cap).ok_or(too_large.clone())?;
        payload.resize(need as usize, 0);
        let room = cursor.reserve(payload, stream_id, elem_count, len as usize).map_err(|_| too_large)?;
        match codec {
            Codec::None if data.len() == room.len() => room.copy_from_slice(data),
            Codec::None => return Err(WireError::Value("length").into()),
            codec => {
                let picture = Picture::of(stream).filter(|p| p.len() == room.len() as u64);
                codecs.restore(codec, picture.as_ref(), data, room)?;
            }
        }
    }
    Ok(cursor.tlv_count())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::NoCodecs;
    use shmx::{Server, Stream};

    /// Runs of equal bytes, under the name of another codec.
    struct Runs;

    impl Codecs for Runs {
        fn known(&self) -> u32 {
            Codec::Lz4.bit()
        }

        fn compress(
            &self,
            _: Codec,
            _: u32,
            _: Option<&Picture>,
            data: &[u8],
            out: &mut Vec<u8>,
        ) -> Result<(), CodecError> {
            out.extend(
                data.chunk_by(|a, b| a == b).flat_map(|run| run.chunks(255)).flat_map(|c| [c.len() as u8, c[0]]),
            );
            Ok(())
        }

        fn restore(&self, codec: Codec, _: Option<&Picture>, data: &[u8], out: &mut [u8]) -> Result<(), CodecError> {
            let bytes: Vec<u8> = data.chunks(2).flat_map(|c| vec![c[1]; usize::from(c[0])]).collect();
            if bytes.len() != out.len() {
                return Err(CodecError { codec, what: "length".into() });
            }
            out.copy_from_slice(&bytes);
            Ok(())
        }
    }

    fn server(tag: &str) -> Server {
        let name = format!("shmx-t-bridge-body-{tag}-{}", std::process::id());
        let builder = Server::builder(name).stream(Stream::<u8>::new(1, "a"), 100);
        builder.stream(Stream::<u16>::new(2, "b"), 100).create().unwrap()
    }

    #[test]
    fn some_streams_and_compressed_ones_come_back() {
        let server = server("back");
        let directory = server.directory();
        let (mut payload, mut cursor) = (vec![0; 512], PayloadCursor::new());
        cursor.append(&mut payload, 1, 90, &[7; 90]).unwrap();
        cursor.append(&mut payload, 2, 2, &[1, 2, 3, 4]).unwrap();
        payload.truncate(cursor.used() as usize);
        let none: &[String] = &[];
        let rule = Compress { stream: "*".into(), codec: Codec::Lz4, level: 0 };
        assert!(Selection::new(&directory, [none, none], &[], u32::MAX).whole);
        assert!(Selection::new(&directory, [none, none], std::slice::from_ref(&rule), 0).whole, "the peer cannot");

        let packed = Selection::new(&directory, [none, none], &[rule], u32::MAX);
        assert!(!packed.whole);
        let (mut body, mut back) = (Vec::new(), Vec::new());
        assert_eq!(packed.encode(&payload, &Runs, &mut body), 2);
        assert!(body.len() < payload.len());
        assert_eq!(payload_of(&body, 512, &directory, &Runs, &mut back), Ok(2));
        assert_eq!(back, payload);
        assert!(matches!(payload_of(&body, 512, &directory, &NoCodecs, &mut back), Err(BodyError::Codec(_))));

        let only = ["b".to_owned()];
        let some = Selection::new(&directory, [&only, none], &[], u32::MAX);
        assert!(!some.whole);
        body.clear();
        assert_eq!(some.encode(&payload, &NoCodecs, &mut body), 1);
        assert_eq!(payload_of(&body, 512, &directory, &NoCodecs, &mut back), Ok(1));
        let streams: Vec<_> = Streams::new(&back).map(|s| s.unwrap().stream_id).collect();
        assert_eq!(streams, [2]);
    }

    #[test]
    fn nothing_is_restored_beyond_what_the_directory_says() {
        let server = server("bombs");
        let directory = server.directory();
        let mut back = Vec::new();
        let mut test = |part: Part<'_>| {
            let mut body = Vec::new();
            part.encode(&mut body);
            payload_of(&body, 512, &directory, &Runs, &mut back).unwrap_err()
        };
        let part = Part { stream_id: 1, elem_count: 9, codec: Codec::None, len: 9, data: &[0; 8] };
        assert_eq!(test(part), BodyError::Wire(WireError::Value("length")));
        assert!(matches!(test(Part { stream_id: 3, ..part }), BodyError::Unsound(Unsound::Unlisted { id: 3 })));
        assert!(matches!(test(Part { len: 10, ..part }), BodyError::Unsound(Unsound::Length { .. })));
        let bomb = Part { elem_count: u32::MAX, len: u32::MAX, codec: Codec::Lz4, ..part };
        assert!(matches!(test(bomb), BodyError::Unsound(Unsound::TooLarge { .. })));
    }
}
