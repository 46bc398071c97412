//! The streams of a frame, and how each can be plotted.

use super::frames::{Full, number, numeric};
use crate::escape::safe;
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
            let values = s.data.chunks_exact(ty.size() as usize).map(|b| short(number(ty, b)));
            values.collect::<Vec<_>>().join(" ")
        }
        Some(ty) if s.info.components > 1 => format!("{}x{} *{}", ty.name(), s.info.components, s.elements),
        Some(ty) => format!("{} *{}", ty.name(), s.elements),
        None => format!("? *{}", s.elements),
    }
}

/// A number in few characters.
pub(super) fn short(v: f64) -> String {
    let a = v.abs();
    if v == 0.0 || !v.is_finite() {
        return v.to_string();
    }
    if v.fract() == 0.0 && a < 1e7 {
        format!("{v:.0}")
    } else if (1e-3..1e6).contains(&a) {
        let digits = (4 - a.log10().floor() as i32).clamp(0, 6) as usize;
        let text = format!("{v:.digits$}");
        if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
    } else {
        format!("{v:.2e}")
    }
}
