//! The meaning of a stream's `extra`: the one place that reads and writes it. The keys are in `docs/streams.md`.
//!
//! Reading never fails, since any program may have written the bytes: what cannot be used is a [`MetaProblem`].

mod acquisition;
mod check;
mod encoding;
mod problem;
#[cfg(test)]
mod tests;

pub use acquisition::{ACQUISITION_ID, ACQUISITION_NAME, Acquisition, Comparable};
pub use encoding::Encoding;
pub use problem::{MAX_EXTRA, MetaProblem};

use serde_json::value::RawValue;
use shmx_abi::ElementType;
use std::collections::BTreeMap;
use std::fmt;

/// Most numbers in a shape.
pub const MAX_DIMENSIONS: usize = 8;

macro_rules! named {
    ($(#[$doc:meta])* $ty:ident { $($(#[$of:meta])* $variant:ident $name:literal),* $(,)? } $(#[$other:meta])*) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum $ty {
            $($(#[$of])* $variant,)*
            $(#[$other])*
            Other(String),
        }

        impl $ty {
            /// The name, as it is written to `extra`.
            #[must_use]
            pub fn name(&self) -> &str {
                match self {
                    $(Self::$variant => $name,)*
                    Self::Other(name) => name,
                }
            }
        }

        impl From<&str> for $ty {
            fn from(name: &str) -> Self {
                match name {
                    $($name => Self::$variant,)*
                    other => Self::Other(other.to_owned()),
                }
            }
        }

        impl fmt::Display for $ty {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.name())
            }
        }
    };
}

named! {
    /// What a stream is to those who show it. Made from its name by `Role::from`.
    Role {
        /// Pixels.
        Image "image",
        /// Points in space: the first two or three components are x, y and z.
        Points "points",
        /// Poses: x, y, z, then a quaternion x, y, z, w.
        Pose "pose",
        /// Moments, by the [`Clock`].
        Time "time",
    }
    /// An application's own role.
}

named! {
    /// The clock of a stream with [`Role::Time`]. Made from its name by `Clock::from`.
    Clock {
        /// The machine's steady clock, which is the wire clock.
        Monotonic "monotonic",
        /// The system's clock: time since 1970, UTC, set and corrected at any moment.
        Realtime "realtime",
        /// International atomic time since 1970.
        Tai "tai",
    }
    /// Another clock, for instance a camera's own.
}

named! {
    /// What recordings and viewers make of a stream besides its data. Made from its name by `View::from`.
    View {
        /// Plain numbers, whatever else the stream looks like.
        Values "values",
        /// Nothing.
        Nothing "none",
    }
    /// Something that this version does not know; as if there were none.
}

/// What a stream's `extra` says of it. All of it is optional.
///
/// ```
/// use shmx::{ElementType, meta::{Role, StreamMeta}};
///
/// let meta = StreamMeta::image(480, 640, "bgr8").frame("camera");
/// let extra = meta.to_extra();
/// assert_eq!(extra, br#"{"role":"image","shape":[480,640],"encoding":"bgr8","frame":"camera"}"#);
///
/// let (read, problems) = StreamMeta::parse(&extra);
/// assert_eq!((read.image_size(), problems.len()), (Some((480, 640)), 0));
/// assert!(read.check(ElementType::U8, 3, Some(640 * 480)).is_empty());
/// assert_eq!(read.check(ElementType::U8, 4, None).len(), 1);
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct StreamMeta {
    /// What the stream is.
    pub role: Option<Role>,
    /// Elements of a frame, slowest index first; 0 stands for any number. For images height and width in pixels.
    pub shape: Option<Vec<u32>>,
    /// Pixel format of an image.
    pub encoding: Option<Encoding>,
    /// Bytes from one row of an image to the next, if rows are padded.
    pub row_step: Option<u32>,
    /// Unit of the values, as in `m/s`.
    pub unit: Option<String>,
    /// Frame of reference.
    pub frame: Option<String>,
    /// Of a pose: the frame of reference whose place in `frame` it is.
    pub child: Option<String>,
    /// Clock of a stream of times.
    pub clock: Option<Clock>,
    /// How to show the stream, if not by its role.
    pub view: Option<View>,
}

/// The keys of `extra`; unlike the old ones, always ours.
const KEYS: [&str; 9] = ["role", "shape", "encoding", "row_step", "unit", "frame", "child", "clock", "view"];

type Object<'a> = BTreeMap<String, &'a RawValue>;

impl StreamMeta {
    /// Empty metadata.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// An image of `height` rows of `width` pixels.
    #[must_use]
    pub fn image(height: u32, width: u32, encoding: impl Into<Encoding>) -> Self {
        Self::new().role(Role::Image).shape([height, width]).encoding(encoding)
    }

    /// Points in space, in metres.
    #[must_use]
    pub fn points() -> Self {
        Self::new().role(Role::Points).unit("m")
    }

    /// The moment of acquisition, in nanoseconds of `clock`; for a stream of single u64. See [`Acquisition`].
    #[must_use]
    pub fn acquisition(clock: Clock) -> Self {
        Self::new().role(Role::Time).unit("ns").clock(clock)
    }

    /// Sets the role.
    #[must_use]
    pub fn role(mut self, role: Role) -> Self {
        self.role = Some(role);
        self
    }

    /// Sets the shape.
    #[must_use]
    pub fn shape(mut self, shape: impl Into<Vec<u32>>) -> Self {
        self.shape = Some(shape.into());
        self
    }

    /// Sets the pixel format.
    #[must_use]
    pub fn encoding(mut self, encoding: impl Into<Encoding>) -> Self {
        self.encoding = Some(encoding.into()).filter(|e| !e.name().is_empty());
        self
    }

    /// Sets the bytes from one row to the next.
    #[must_use]
    pub fn row_step(mut self, bytes: u32) -> Self {
        self.row_step = Some(bytes).filter(|&b| b > 0);
        self
    }

    /// Sets the unit.
    #[must_use]
    pub fn unit(mut self, unit: impl Into<String>) -> Self {
        self.unit = Some(unit.into()).filter(|u| !u.is_empty());
        self
    }

    /// Sets the frame of reference.
    #[must_use]
    pub fn frame(mut self, frame: impl Into<String>) -> Self {
        self.frame = Some(frame.into()).filter(|f| !f.is_empty());
        self
    }

    /// Says that a pose is the place of this frame of reference in the one of [`StreamMeta::frame`].
    #[must_use]
    pub fn child(mut self, child: impl Into<String>) -> Self {
        self.child = Some(child.into()).filter(|c| !c.is_empty());
        self
    }

    /// Sets the clock.
    #[must_use]
    pub fn clock(mut self, clock: Clock) -> Self {
        self.clock = Some(clock);
        self
    }

    /// Sets how the stream is shown.
    #[must_use]
    pub fn view(mut self, view: View) -> Self {
        self.view = Some(view);
        self
    }

    /// Whether no key is set.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Whether the stream is an image: by its role, or by an encoding if it has no role.
    #[must_use]
    pub fn is_image(&self) -> bool {
        self.role.as_ref().map_or(self.encoding.is_some(), |r| *r == Role::Image)
    }

    /// Height and width of an image in pixels, if both are given.
    #[must_use]
    pub fn image_size(&self) -> Option<(u32, u32)> {
        match self.shape.as_deref() {
            Some(&[h, w] | &[h, w, _]) if self.is_image() && h > 0 && w > 0 => Some((h, w)),
            _ => None,
        }
    }

    /// The encoding of an image: as given, or as its elements imply.
    #[must_use]
    pub fn image_encoding(&self, element_type: ElementType, components: u32) -> Option<Encoding> {
        if !self.is_image() {
            return None;
        }
        self.encoding.clone().or_else(|| Encoding::implied(element_type, components))
    }

    /// Reads a stream's `extra`. Bytes that are no JSON object and do not look like one are application data:
    /// empty metadata, no problem. A key that cannot be used is ignored and reported.
    #[must_use]
    pub fn parse(extra: &[u8]) -> (Self, Vec<MetaProblem>) {
        match object(extra) {
            Ok(Some(object)) => Self::of(&object),
            Ok(None) => Self::default_with(Vec::new()),
            Err(problem) => Self::default_with(vec![problem]),
        }
    }

    fn default_with(problems: Vec<MetaProblem>) -> (Self, Vec<MetaProblem>) {
        (Self::default(), problems)
    }

    fn of(object: &Object<'_>) -> (Self, Vec<MetaProblem>) {
        let mut r = Reader { object, problems: Vec::new() };
        let mut meta = Self {
            role: r.text("role").map(|t| Role::from(t.as_str())),
            shape: r.shape(),
            encoding: r.text("encoding").map(Encoding::from),
            row_step: r.positive("row_step", "a number of bytes above 0"),
            unit: r.text("unit"),
            frame: r.text("frame"),
            child: r.text("child"),
            clock: r.text("clock").map(|t| Clock::from(t.as_str())),
            view: None,
        };
        meta.view = match r.text("view") {
            // What is now a role.
            Some(t) if t == "points" && meta.role.is_none() => {
                meta.role = Some(Role::Points);
                None
            }
            t => t.map(|t| View::from(t.as_str())),
        };
        if let Some(e) = meta.encoding.as_ref().filter(|e| !e.is_known()) {
            r.problems.push(MetaProblem::UnknownEncoding { name: e.name().to_owned() });
        }
        if has_old_keys(object) {
            r.old_keys(&mut meta);
        }
        (meta, r.problems)
    }

    /// The keys as compact JSON in a fixed order, to be a stream's `extra`; no bytes if no key is set.
    #[must_use]
    pub fn to_extra(&self) -> Vec<u8> {
        self.write(&Object::new())
    }

    /// The same with all keys of an existing `extra` that are not of [`StreamMeta`], in the order of their names
    /// behind the others.
    ///
    /// # Errors
    ///
    /// `existing` is not empty and no JSON object; it would be lost.
    ///
    /// ```
    /// # use shmx::meta::StreamMeta;
    /// let old = br#"{"serial":"A17","width":640,"height":480}"#;
    /// let (meta, _) = StreamMeta::parse(old);
    /// let new = meta.encoding("rgb8").merge_into(old).unwrap();
    /// assert_eq!(new, br#"{"role":"image","shape":[480,640],"encoding":"rgb8","serial":"A17"}"#);
    /// assert!(StreamMeta::new().unit("m").merge_into(b"\x01\x02").is_err());
    /// ```
    pub fn merge_into(&self, existing: &[u8]) -> Result<Vec<u8>, MetaProblem> {
        let mut object = match object(existing)? {
            Some(object) => object,
            None if trimmed(existing).is_empty() => Object::new(),
            None => return Err(MetaProblem::NotAnObject),
        };
        let old = has_old_keys(&object);
        object.retain(|key, _| !(KEYS.contains(&key.as_str()) || old && OLD_KEYS.contains(&key.as_str())));
        Ok(self.write(&object))
    }

    fn write(&self, others: &Object<'_>) -> Vec<u8> {
        let text = |t: &str| Some(t).filter(|t| !t.is_empty()).map(|t| serde_json::Value::from(t).to_string());
        let number = |n: &u32| n.to_string();
        let values = [
            self.role.as_ref().and_then(|r| text(r.name())),
            self.shape.as_ref().map(|s| format!("[{}]", s.iter().map(number).collect::<Vec<_>>().join(","))),
            self.encoding.as_ref().and_then(|e| text(e.name())),
            self.row_step.as_ref().filter(|&&n| n > 0).map(number),
            self.unit.as_deref().and_then(text),
            self.frame.as_deref().and_then(text),
            self.child.as_deref().and_then(text),
            self.clock.as_ref().and_then(|c| text(c.name())),
            self.view.as_ref().and_then(|v| text(v.name())),
        ];
        let ours = KEYS.into_iter().zip(values).filter_map(|(k, v)| Some(format!("\"{k}\":{}", v?)));
        let others = others.iter().map(|(k, v)| format!("{}:{}", serde_json::Value::from(k.as_str()), v.get()));
        let all: Vec<_> = ours.chain(others).collect();
        if all.is_empty() { Vec::new() } else { format!("{{{}}}", all.join(",")).into_bytes() }
    }
}

/// The keys of former versions. Each is a common word, so they count in company only.
const OLD_KEYS: [&str; 3] = ["width", "height", "step"];

fn has_old_keys(object: &Object<'_>) -> bool {
    object.contains_key("width") && object.contains_key("height")
}

/// Without white space around, the zeros that end a C string, and a byte order mark.
fn trimmed(extra: &[u8]) -> &[u8] {
    let extra = extra.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(extra);
    let end = extra.iter().rposition(|&b| b != 0).map_or(0, |i| i + 1);
    extra[..end].trim_ascii()
}

/// The members of a JSON object, their values not yet read; `None` for application data.
fn object(extra: &[u8]) -> Result<Option<Object<'_>>, MetaProblem> {
    // A long one is judged by its beginning, so that its length costs nothing.
    let head = trimmed(&extra[..extra.len().min(MAX_EXTRA)]);
    let Some(inner) = head.strip_prefix(b"{").map(<[u8]>::trim_ascii_start) else { return Ok(None) };
    if !inner.first().is_none_or(|&b| matches!(b, b'"' | b'\'' | b'}' | b'_') || b.is_ascii_alphabetic()) {
        return Ok(None);
    }
    if extra.len() > MAX_EXTRA {
        return Err(MetaProblem::TooLong { len: extra.len() });
    }
    let broken = |cause: &dyn fmt::Display| MetaProblem::Broken { cause: cause.to_string() };
    let text = std::str::from_utf8(head).map_err(|e| broken(&e))?;
    // Values are skipped without recursion, so their depth is harmless.
    serde_json::from_str(text).map(Some).map_err(|e| broken(&e))
}

/// Takes known keys out of an object and notes what is wrong with them.
struct Reader<'a> {
    object: &'a Object<'a>,
    problems: Vec<MetaProblem>,
}

impl Reader<'_> {
    fn read<T>(
        &mut self,
        key: &'static str,
        expected: &'static str,
        parse: impl FnOnce(&str) -> serde_json::Result<Option<T>>,
        fits: impl FnOnce(&T) -> bool,
    ) -> Option<T> {
        let json = self.object.get(key)?.get();
        match parse(json) {
            Ok(None) => None,
            Ok(Some(value)) if fits(&value) => Some(value),
            _ => {
                let found = json.chars().take(100).collect();
                self.problems.push(MetaProblem::WrongValue { key, found, expected });
                None
            }
        }
    }

    fn text(&mut self, key: &'static str) -> Option<String> {
        self.read(key, "a string", |json| serde_json::from_str(json), |_| true).filter(|t: &String| !t.is_empty())
    }

    fn positive(&mut self, key: &'static str, expected: &'static str) -> Option<u32> {
        self.read(key, expected, |json| serde_json::from_str(json), |&n| n > 0)
    }

    fn shape(&mut self) -> Option<Vec<u32>> {
        const EXPECTED: &str = "a list of at most 8 whole numbers";
        let fits = |s: &Vec<u32>| s.len() <= MAX_DIMENSIONS;
        self.read("shape", EXPECTED, |json| serde_json::from_str(json), fits)
    }

    fn old_keys(&mut self, meta: &mut StreamMeta) {
        let [height, width] = ["height", "width"].map(|k| self.positive(k, "a number of pixels above 0"));
        if let (Some(height), Some(width)) = (height, width) {
            match meta.shape.as_deref() {
                None => meta.shape = Some(vec![height, width]),
                Some(&[h, w] | &[h, w, _]) if (h, w) == (height, width) => {}
                Some(_) => self.problems.push(MetaProblem::Conflict { old: "`width` and `height`", new: "shape" }),
            }
            meta.role.get_or_insert(Role::Image);
        }
        if let Some(step) = self.positive("step", "a number of bytes above 0")
            && *meta.row_step.get_or_insert(step) != step
        {
            self.problems.push(MetaProblem::Conflict { old: "`step`", new: "row_step" });
        }
    }
}
