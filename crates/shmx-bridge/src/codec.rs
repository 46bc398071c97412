//! How data of streams is compressed; who can do it is given from outside.

use serde::Deserialize;
use shmx::StreamInfo;
use std::fmt;
use thiserror::Error;

/// A way to compress the data of a stream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Codec {
    /// Not at all.
    #[default]
    None,
    /// LZ4: fast.
    Lz4,
    /// Zstandard: small.
    Zstd,
    /// JPEG, for images: much smaller, and not the same any more.
    Jpeg,
}

impl Codec {
    const ALL: [Self; 4] = [Self::None, Self::Lz4, Self::Zstd, Self::Jpeg];

    /// Its bit in a set of codecs.
    #[must_use]
    pub const fn bit(self) -> u32 {
        1 << self as u32
    }

    pub(crate) const fn to_wire(self) -> u8 {
        self as u8
    }

    pub(crate) fn from_wire(code: u8) -> Option<Self> {
        Self::ALL.get(usize::from(code)).copied()
    }
}

impl fmt::Display for Codec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(["none", "lz4", "zstd", "jpeg"][*self as usize])
    }
}

/// An image, for codecs that must know what they compress.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Picture {
    /// Rows.
    pub height: u32,
    /// Pixels of a row.
    pub width: u32,
    /// Bytes of a pixel: 1 grey, 3 red, green, blue or the other way round.
    pub channels: u32,
    /// Whether blue comes first.
    pub bgr: bool,
}

impl Picture {
    /// The image that a stream carries: bytes without padding, grey or in three colours.
    ///
    /// ```
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use shmx::{Server, Stream};
    /// use shmx_bridge::Picture;
    ///
    /// # let name = format!("doc-picture-{}", std::process::id());
    /// let server = Server::builder(&name).image(Stream::<[u8; 3]>::new(1, "image"), 4, 6, "bgr8").create()?;
    /// let picture = Picture::of(&server.directory().streams[0]).expect("it is one");
    /// assert_eq!((picture.height, picture.width, picture.bgr), (4, 6, true));
    /// # Ok(()) }
    /// ```
    #[must_use]
    pub fn of(stream: &StreamInfo) -> Option<Self> {
        let meta = stream.meta().0;
        let (height, width) = meta.image_size()?;
        let (channels, bgr) = match meta.encoding.as_ref()?.name() {
            "rgb8" => (3, false),
            "bgr8" => (3, true),
            "mono8" => (1, false),
            _ => return None,
        };
        let row = u64::from(width) * u64::from(channels);
        let dense = meta.row_step.is_none_or(|step| u64::from(step) == row);
        dense.then_some(Self { height, width, channels, bgr })
    }

    /// Bytes of the image.
    #[must_use]
    pub const fn len(&self) -> u64 {
        // Each factor is 32 bits at most, and channels are 3.
        (self.height as u64 * self.width as u64).saturating_mul(self.channels as u64)
    }

    /// Whether it has no pixels.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Data could not be compressed or restored.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{codec}: {what}")]
pub struct CodecError {
    /// By what.
    pub codec: Codec,
    /// Why.
    pub what: String,
}

/// Those who compress. What they restore is input, as everything from the network is: they must take any bytes.
pub trait Codecs: Send + Sync {
    /// The codecs there are, a bit for each: [`Codec::bit`].
    fn known(&self) -> u32;

    /// Compresses `data` and appends it to `out`; `level` is the codec's own measure, 0 its default.
    ///
    /// # Errors
    ///
    /// [`CodecError`]; the data is sent as it is then.
    fn compress(
        &self,
        codec: Codec,
        level: u32,
        picture: Option<&Picture>,
        data: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<(), CodecError>;

    /// Restores data into `out`, which is as long as the data must be.
    ///
    /// # Errors
    ///
    /// [`CodecError`]; the frame is rejected then.
    fn restore(&self, codec: Codec, picture: Option<&Picture>, data: &[u8], out: &mut [u8]) -> Result<(), CodecError>;
}

/// No codec at all.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoCodecs;

impl Codecs for NoCodecs {
    fn known(&self) -> u32 {
        Codec::None.bit()
    }

    fn compress(&self, codec: Codec, _: u32, _: Option<&Picture>, _: &[u8], _: &mut Vec<u8>) -> Result<(), CodecError> {
        Err(CodecError { codec, what: "it is not built in".into() })
    }

    fn restore(&self, codec: Codec, _: Option<&Picture>, _: &[u8], _: &mut [u8]) -> Result<(), CodecError> {
        Err(CodecError { codec, what: "it is not built in".into() })
    }
}
