//! The streams of a frame, and how each can be plotted.

use super::frames::Full;
use crate::escape::safe;
use crate::units;
use crate::values::{self, numeric};
use clap::ValueEnum;
use shmx::abi::frame::Streams;
use shmx::{ElementType, StreamInfo};
use shmx_record::ImageInfo;

/// How a stream is plotted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Mode {
    /// The first element's values over the frames.
    Time,
    /// The values of one frame over their number.
    Index,
    /// Two components of each element against each other.
    Xy,
    /// An image.
    Image,
}

impl Mode {
    const ALL: [Self; 4] = [Self::Time, Self::Index, Self::Xy, Self::Image];

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Time => "over time",
            Self::Index => "over index",
            Self::Xy => "x against y",
            Self::Image => "image",
        }
    }
}

/// A stream of the frame that is shown.
pub(super) struct Shown {
    pub(super) info: StreamInfo,
    pub(super) name: String,
    pub(super) ty: Option<ElementType>,
    pub(super) elements: u32,
    pub(super) data: Vec<u8>,
}

pub(super) fn unpack(f: &Full) -> Vec<Shown> {
    let mut shown: Vec<Shown> = Vec::new();
    for s in Streams::new(&f.payload).map_while(Result::ok) {
        let Some(info) = f.directory.stream(s.stream_id).cloned() else { continue };
        let name = safe(&info.name_lossy()).into_owned();
        let name = if name.is_empty() { format!("#{}", info.id) } else { name };
        shown.push(Shown { ty: numeric(&info), name, info, elements: s.elem_count, data: s.data.to_vec() });
    }
    shown
}

/// The plots that make sense for a stream, the likeliest first.
pub(super) fn fitting(s: &Shown) -> Vec<Mode> {
    let Some(_) = s.ty else { return Vec::new() };
    let image = ImageInfo::of(&s.info).is_some_and(|i| i.step > 0);
    let mut fit: Vec<Mode> = Vec::new();
    if image {
        fit.push(Mode::Image);
    }
    if (2..=3).contains(&s.info.components) && s.elements > 1 {
        fit.push(Mode::Xy);
    }
    if s.elements <= 1 {
        fit.push(Mode::Time);
    }
    for m in Mode::ALL {
        let possible = match m {
            Mode::Image => false,
            Mode::Xy => s.info.components >= 2,
            _ => true,
        };
        if possible && !fit.contains(&m) {
            fit.push(m);
        }
    }
    fit
}

pub(super) fn summary(s: &Shown) -> String {
    match s.ty {
        Some(ty) if s.elements <= 1 && s.info.components <= 2 => {
            let values = s.data.chunks_exact(ty.size() as usize).map(|b| units::number(values::number_of(ty, b)));
            values.collect::<Vec<_>>().join(" ")
        }
        Some(ty) if s.info.components > 1 => format!("{}x{} *{}", ty.name(), s.info.components, s.elements),
        Some(ty) => format!("{} *{}", ty.name(), s.elements),
        None => format!("? *{}", s.elements),
    }
}
