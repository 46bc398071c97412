//! Pixel formats, by the names that ROS (`sensor_msgs/image_encodings`) and Foxglove (`RawImage`) use.

use shmx_abi::ElementType::{self, F32, F64, I8, I16, I32, U8, U16};
use std::fmt;

/// How the bytes of an encoding lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// Whole pixels, one after the other.
    Packed,
    /// The same, but two neighbours share their colour.
    Pairs,
    /// A plane of luma, then one of colour with half the rows.
    Planes420,
    /// A plane of luma, then one of colour with as many rows of twice the length.
    Planes444,
    /// A file of its own in each frame.
    Compressed,
}

macro_rules! encodings {
    ($($variant:ident $name:literal $(| $alias:literal)? $ty:ident $components:literal $kind:ident),* $(,)?) => {
        /// The pixel format of an image. Made from its name by `Encoding::from`, in any letter case.
        ///
        /// A name that is not known is kept: the image can be passed on, but its size cannot be checked.
        ///
        /// ```
        /// use shmx::{ElementType, meta::Encoding};
        ///
        /// let e = Encoding::from("bgr8");
        /// assert_eq!(e, Encoding::Bgr8);
        /// assert_eq!((e.element_type(), e.bytes_per_pixel()), (Some(ElementType::U8), Some(3)));
        /// assert_eq!(Encoding::from("yuv422_yuy2").name(), "yuyv");
        /// assert!(!Encoding::from("p010").is_known());
        /// ```
        #[derive(Clone, Debug, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum Encoding {
            $(
                #[doc = concat!("`", $name, "`", $(", or `", $alias, "`",)? ".")]
                $variant,
            )*
            /// A format that this version does not know, by its name.
            Other(String),
        }

        impl Encoding {
            /// All known encodings.
            pub const ALL: &[Self] = &[$(Self::$variant),*];

            /// The name, as it is written to `extra` and to recordings.
            #[must_use]
            pub fn name(&self) -> &str {
                match self {
                    $(Self::$variant => $name,)*
                    Self::Other(name) => name,
                }
            }

            fn row(&self) -> Option<(ElementType, u32, Kind)> {
                match self {
                    $(Self::$variant => Some(($ty, $components, Kind::$kind)),)*
                    Self::Other(_) => None,
                }
            }
        }

        impl From<&str> for Encoding {
            fn from(name: &str) -> Self {
                $(
                    if name.eq_ignore_ascii_case($name) $(|| name.eq_ignore_ascii_case($alias))? {
                        return Self::$variant;
                    }
                )*
                Self::Other(name.to_owned())
            }
        }
    };
}

encodings! {
    Mono8 "mono8" U8 1 Packed,
    Mono16 "mono16" U16 1 Packed,
    Rgb8 "rgb8" U8 3 Packed,
    Bgr8 "bgr8" U8 3 Packed,
    Rgba8 "rgba8" U8 4 Packed,
    Bgra8 "bgra8" U8 4 Packed,
    Rgb16 "rgb16" U16 3 Packed,
    Bgr16 "bgr16" U16 3 Packed,
    Rgba16 "rgba16" U16 4 Packed,
    Bgra16 "bgra16" U16 4 Packed,
    BayerRggb8 "bayer_rggb8" U8 1 Packed,
    BayerBggr8 "bayer_bggr8" U8 1 Packed,
    BayerGbrg8 "bayer_gbrg8" U8 1 Packed,
    BayerGrbg8 "bayer_grbg8" U8 1 Packed,
    BayerRggb16 "bayer_rggb16" U16 1 Packed,
    BayerBggr16 "bayer_bggr16" U16 1 Packed,
    BayerGbrg16 "bayer_gbrg16" U16 1 Packed,
    BayerGrbg16 "bayer_grbg16" U16 1 Packed,
    Uyvy "uyvy" | "yuv422" U8 2 Pairs,
    Yuyv "yuyv" | "yuv422_yuy2" U8 2 Pairs,
    Nv12 "nv12" U8 1 Planes420,
    Nv21 "nv21" U8 1 Planes420,
    Nv24 "nv24" U8 1 Planes444,
    Cv8UC1 "8UC1" U8 1 Packed,
    Cv8UC2 "8UC2" U8 2 Packed,
    Cv8UC3 "8UC3" U8 3 Packed,
    Cv8UC4 "8UC4" U8 4 Packed,
    Cv8SC1 "8SC1" I8 1 Packed,
    Cv8SC2 "8SC2" I8 2 Packed,
    Cv8SC3 "8SC3" I8 3 Packed,
    Cv8SC4 "8SC4" I8 4 Packed,
    Cv16UC1 "16UC1" U16 1 Packed,
    Cv16UC2 "16UC2" U16 2 Packed,
    Cv16UC3 "16UC3" U16 3 Packed,
    Cv16UC4 "16UC4" U16 4 Packed,
    Cv16SC1 "16SC1" I16 1 Packed,
    Cv16SC2 "16SC2" I16 2 Packed,
    Cv16SC3 "16SC3" I16 3 Packed,
    Cv16SC4 "16SC4" I16 4 Packed,
    Cv32SC1 "32SC1" I32 1 Packed,
    Cv32SC2 "32SC2" I32 2 Packed,
    Cv32SC3 "32SC3" I32 3 Packed,
    Cv32SC4 "32SC4" I32 4 Packed,
    Cv32FC1 "32FC1" F32 1 Packed,
    Cv32FC2 "32FC2" F32 2 Packed,
    Cv32FC3 "32FC3" F32 3 Packed,
    Cv32FC4 "32FC4" F32 4 Packed,
    Cv64FC1 "64FC1" F64 1 Packed,
    Cv64FC2 "64FC2" F64 2 Packed,
    Cv64FC3 "64FC3" F64 3 Packed,
    Cv64FC4 "64FC4" F64 4 Packed,
    Jpeg "jpeg" U8 1 Compressed,
    Png "png" U8 1 Compressed,
    Webp "webp" U8 1 Compressed,
    Avif "avif" U8 1 Compressed,
}

impl Encoding {
    /// The encoding that an image has if its `extra` names none: `mono8`, `rgb8`, `rgba8`, `mono16` or `32FC1`.
    #[must_use]
    pub fn implied(element_type: ElementType, components: u32) -> Option<Self> {
        match (element_type, components) {
            (U8, 1) => Some(Self::Mono8),
            (U8, 3) => Some(Self::Rgb8),
            (U8, 4) => Some(Self::Rgba8),
            (U16, 1) => Some(Self::Mono16),
            (F32, 1) => Some(Self::Cv32FC1),
            _ => None,
        }
    }

    /// Whether this version knows the format.
    #[must_use]
    pub fn is_known(&self) -> bool {
        self.row().is_some()
    }

    /// Whether each frame is a compressed file (`jpeg`, `png`, `webp`, `avif`), of any length.
    #[must_use]
    pub fn is_compressed(&self) -> bool {
        self.kind() == Some(Kind::Compressed)
    }

    /// Type of one component, if the format is known.
    #[must_use]
    pub fn element_type(&self) -> Option<ElementType> {
        self.row().map(|(ty, ..)| ty)
    }

    /// Components of an element. An element is a pixel; with planes (`nv12`) and in compressed images it is a byte.
    #[must_use]
    pub fn components(&self) -> Option<u32> {
        self.row().map(|(_, components, _)| components)
    }

    /// Bytes of a pixel; `None` with planes, in compressed images, and where the format is not known.
    #[must_use]
    pub fn bytes_per_pixel(&self) -> Option<u32> {
        match self.row()? {
            (ty, components, Kind::Packed | Kind::Pairs) => Some(ty.size() * components),
            _ => None,
        }
    }

    /// Bytes of a row without padding; with planes, of a row of luma.
    #[must_use]
    pub fn row_bytes(&self, width: u32) -> Option<u64> {
        match self.kind()? {
            Kind::Compressed => None,
            Kind::Planes420 | Kind::Planes444 => Some(u64::from(width)),
            Kind::Packed | Kind::Pairs => Some(u64::from(width) * u64::from(self.bytes_per_pixel()?)),
        }
    }

    /// Rows of that length in an image of this height: with planes, those of the colour too.
    #[must_use]
    pub fn rows(&self, height: u32) -> u64 {
        let height = u64::from(height);
        match self.kind() {
            Some(Kind::Planes420) => height + height.div_ceil(2),
            Some(Kind::Planes444) => 3 * height,
            _ => height,
        }
    }

    /// What width and height must be multiples of.
    pub(super) fn multiples(&self) -> (u32, u32) {
        match self.kind() {
            Some(Kind::Pairs) => (2, 1),
            Some(Kind::Planes420) => (2, 2),
            _ => (1, 1),
        }
    }

    fn kind(&self) -> Option<Kind> {
        self.row().map(|(.., kind)| kind)
    }
}

impl From<String> for Encoding {
    fn from(name: String) -> Self {
        match Self::from(name.as_str()) {
            Self::Other(_) => Self::Other(name),
            known => known,
        }
    }
}

impl fmt::Display for Encoding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
