//! What a server chooses about its region, and what follows from its streams.

use super::checksum::Checksum;
use super::create::create;
use super::plan::{NameLoss, Plan};
use super::state::Server;
use crate::error::{CreateError, StreamError};
use crate::schema::directory::StreamInfo;
use crate::schema::meta::{Clock, Encoding, StreamMeta};
use crate::schema::spec::StreamSpec;
use crate::schema::stream::Stream;
use shmx_abi::directory::Directory as Entries;
use shmx_abi::{Element, FRAME_HEADER_LEN, LayoutError, RegionLayout, RegionParams, SECTION_ALIGN, TLV_ALIGN};
use shmx_os::RegionName;

/// Capacity of frames of a server that declares neither streams nor a capacity; that of the original's Python package.
const FRAME_BYTES: u32 = 65536;
/// Slots, and how many where that many would be more than [`SLOT_BYTES`] in all.
const SLOTS: [u32; 2] = [8, 4];
const SLOT_BYTES: u64 = 32 << 20;
/// Least capacity of the directory, and its room for streams that are added later.
const DIRECTORY_BYTES: u32 = 4096;
const DIRECTORY_ROOM: u64 = 1024;

/// Options of a [`Server`]: [`Server::builder`].
///
/// Declared streams say how large frames are. Everything else has a default that suits most programs.
///
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use shmx::{Server, Stream};
///
/// const DEPTH: Stream<u16> = Stream::new(1, "depth");
///
/// let name = format!("doc-builder-{}", std::process::id());
/// let server = Server::builder(&name).slots(4).stream(DEPTH, 640 * 480).create()?;
/// assert!(server.layout().frame_bytes_cap() >= 640 * 480 * 2);
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
#[must_use = "a builder makes nothing before `create`"]
pub struct ServerBuilder {
    name: String,
    slots: Option<u32>,
    reader_slots: u32,
    streams: Vec<(StreamSpec, u32)>,
    frame_bytes: Option<u32>,
    directory_bytes: Option<u32>,
    control_bytes: u32,
    checksum: Checksum,
    publish_time: bool,
    mode: u32,
    group: Option<u32>,
    replace: bool,
    huge_pages: bool,
    ring_always: bool,
    name_loss: NameLoss,
    history: u32,
    streaming_stores: bool,
    directory: Vec<u8>,
}

impl Server {
    /// Options for a server of this name, with or without a leading `/`.
    pub fn builder(name: impl Into<String>) -> ServerBuilder {
        ServerBuilder {
            name: name.into(),
            slots: None,
            reader_slots: 16,
            streams: Vec::new(),
            frame_bytes: None,
            directory_bytes: None,
            control_bytes: 4096,
            checksum: Checksum::Auto,
            publish_time: true,
            mode: 0o600,
            group: None,
            replace: false,
            huge_pages: false,
            ring_always: false,
            name_loss: NameLoss::Warn,
            history: 0,
            streaming_stores: false,
            directory: Vec::new(),
        }
    }
}

impl ServerBuilder {
    /// Frame slots. A reader can take every frame as long as it is no further behind than this; one that holds `n`
    /// frames needs `n` more to leave the server free.
    ///
    /// Default 8, which lets a reader be late by several frames; 4 where 8 would take more than 32 MiB, enough for a
    /// reader that holds one frame and takes the next.
    pub const fn slots(mut self, slots: u32) -> Self {
        self.slots = Some(slots);
        self
    }

    /// How many of the newest frames stay in the ring for readers that take each in order. Beyond them the server writes
    /// where it has written just before, instead of going round all slots: large frames then stay in the processor's
    /// cache, and readers that only want the newest frame get it sooner. Frames that readers hold stay theirs.
    ///
    /// Default 0: as many as there are slots for. [`Server::begin_frame_when_taken`] always keeps what is wanted.
    ///
    /// ```
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let name = format!("doc-history-{}", std::process::id());
    /// let mut server = shmx::Server::builder(&name).frame_bytes(1 << 20).slots(8).history(1).create()?;
    /// let mut slots = Vec::new();
    /// for _ in 0..4 {
    ///     let mut frame = server.begin_frame()?;
    ///     slots.push(frame.slot());
    ///     frame.append_undeclared(1, 1, &[7; 8])?;
    ///     frame.publish_frame(0.0)?;
    /// }
    /// assert_eq!(slots[2..], slots[..2], "two slots take turns while nobody holds a frame");
    /// # Ok(()) }
    /// ```
    pub const fn history(mut self, frames: u32) -> Self {
        self.history = frames;
        self
    }

    /// Readers that can attach at a time. Default 16, which costs 65 KiB with the rings. Only the first 128 can hold
    /// frames in place; the others copy.
    pub const fn reader_slots(mut self, reader_slots: u32) -> Self {
        self.reader_slots = reader_slots;
        self
    }

    /// Declares a stream with at most `max_elems` elements in a frame. Its number and its name are its own.
    pub fn stream(mut self, stream: impl Into<StreamSpec>, max_elems: u32) -> Self {
        self.streams.push((stream.into(), max_elems));
        self
    }

    /// Declares a stream of images, one in a frame: height and width in pixels, and a pixel format by its usual name
    /// (`rgb8`, `bgr8`, `mono8`, `16UC1`, ...; `docs/streams.md` lists them). The size of a frame follows.
    ///
    /// ```
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use shmx::{Server, Stream};
    ///
    /// const IMAGE: Stream<[u8; 3]> = Stream::new(1, "image");
    /// # let name = format!("doc-image-{}", std::process::id());
    /// let server = Server::builder(&name).image(IMAGE, 480, 640, "bgr8").create()?;
    /// assert!(server.layout().frame_bytes_cap() >= 480 * 640 * 3);
    /// # Ok(()) }
    /// ```
    pub fn image<T: Element>(self, stream: Stream<T>, height: u32, width: u32, encoding: impl Into<Encoding>) -> Self {
        let meta = StreamMeta::image(height, width, encoding);
        let pixels = u64::from(height) * u64::from(width);
        let elems = meta.elements(T::TYPE, T::COMPONENTS).unwrap_or(pixels);
        self.stream(stream.spec().meta(&meta), u32::try_from(elems).unwrap_or(u32::MAX))
    }

    /// Declares the conventional stream for the moment at which a frame's data was acquired,
    /// [`Stream::ACQUISITION_TIME`]: nanoseconds of this clock.
    pub fn acquisition_time(self, clock: Clock) -> Self {
        self.stream(Stream::ACQUISITION_TIME.spec().meta(&StreamMeta::acquisition(clock)), 1)
    }

    /// Largest payload of a frame in bytes, exactly this much: for streams that are added later or not declared, or
    /// because declared streams are never at their largest together.
    ///
    /// Default: what the declared streams take at their largest, and 65536 where none is declared.
    pub const fn frame_bytes(mut self, bytes: u32) -> Self {
        self.frame_bytes = Some(bytes);
        self
    }

    /// Bytes for the stream directory; 0 means exactly what it needs at creation.
    ///
    /// Default: at least 4096, and at least 1024 more than is declared, for streams that are added later.
    pub const fn directory_bytes(mut self, bytes: u32) -> Self {
        self.directory_bytes = Some(bytes);
        self
    }

    /// Bytes of each reader's control ring, 16 of them for its positions; 0 means that readers cannot send messages.
    ///
    /// Default 4096: some hundred short messages between two polls.
    pub const fn control_bytes(mut self, bytes: u32) -> Self {
        self.control_bytes = bytes;
        self
    }

    /// Which frames carry a checksum. Default [`Checksum::Auto`]: wherever somebody needs it, as hashing takes many
    /// times as long as all the rest of a large frame.
    pub const fn checksum(mut self, checksum: Checksum) -> Self {
        self.checksum = checksum;
        self
    }

    /// Whether frames carry the time at which they were published. Default true; it takes some 20 ns.
    pub const fn publish_time(mut self, on: bool) -> Self {
        self.publish_time = on;
        self
    }

    /// Permission bits of the object (Unix). Default 0o600: other users can neither read nor write it. Readers need
    /// both permissions, programs that only look need the first.
    pub const fn mode(mut self, mode: u32) -> Self {
        self.mode = mode;
        self
    }

    /// Group of the object, by number (Unix). Default that of the process; another one must be a group that the process
    /// is in.
    pub const fn group(mut self, group: u32) -> Self {
        self.group = Some(group);
        self
    }

    /// Replace what has the name even if it is a region without liveness lock, or no region at all.
    ///
    /// A region whose server lives is never replaced, nor is a directory or a link; one whose server died always is.
    /// Default false: a server of another implementation may be in use, which nobody can tell.
    pub const fn replace(mut self, replace: bool) -> Self {
        self.replace = replace;
        self
    }

    /// Ask for huge pages. Best effort: on Linux `/dev/shm` must be mounted with `huge=advise` or more, which is not
    /// usual (`mount -o remount,huge=advise /dev/shm`). [`Server::huge_page_bytes`] says what came of it, and readers
    /// ask for them on their own side. Default false: without them small regions would take more memory.
    pub const fn huge_pages(mut self, on: bool) -> Self {
        self.huge_pages = on;
        self
    }

    /// Ring after every frame, whether somebody sleeps or not: a system call for each, which lets programs sleep that may
    /// only read the region ([`crate::Tap::wait`] and [`crate::Tap::next`]). Clients need it not: they say when they
    /// sleep. Default false. Where nothing can be woken (macOS) it does nothing, and taps poll
    /// ([`Features::RING_ALWAYS`](shmx_abi::extension::Features::RING_ALWAYS) tells).
    pub const fn ring_always(mut self, on: bool) -> Self {
        self.ring_always = on;
        self
    }

    /// Copy very large data into frames ([`FrameWriter::append_stream`](crate::FrameWriter::append_stream), from 4 MiB on)
    /// by stores that go past the producer's caches. For frames that do not fit into these and readers on a processor
    /// that is far away: lines are neither fetched before they are overwritten nor written back when they are read.
    /// Where both share a cache it loses. Default false: measure first (docs/performance.md). x86-64 only; it does
    /// nothing elsewhere, nor for frames that are hashed.
    pub const fn streaming_stores(mut self, on: bool) -> Self {
        self.streaming_stores = on;
        self
    }

    /// What the server does when its name is taken away. Default [`NameLoss::Warn`].
    pub const fn on_name_loss(mut self, loss: NameLoss) -> Self {
        self.name_loss = loss;
        self
    }

    /// Begins the directory with these bytes as they are: what a recorder took out of another region. Declared streams
    /// come after them.
    ///
    /// The bytes are not checked; readers check what they read. To a directory that is damaged nothing can be added.
    /// They do not say how large frames are: see [`ServerBuilder::frame_bytes`].
    pub fn directory(mut self, bytes: &[u8]) -> Self {
        self.directory = bytes.to_vec();
        self
    }

    /// Creates the region and makes it visible in one step.
    ///
    /// # Errors
    ///
    /// [`CreateError`]; nothing is left behind then.
    pub fn create(&self) -> Result<Server, CreateError> {
        self.create_if(|| true)
    }

    /// The same, but asks before the region gets its name, when all of its memory is reserved: for large ones that may
    /// not be wanted any more by then. Nothing is left of one that is not. On Windows a region has its name from the
    /// start, and loses it then.
    ///
    /// # Errors
    ///
    /// [`CreateError::NotWanted`] if the answer is no; otherwise as for [`ServerBuilder::create`].
    ///
    /// ```
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use shmx::Server;
    /// use shmx::error::CreateError;
    ///
    /// let name = format!("doc-create-if-{}", std::process::id());
    /// let refused = Server::builder(&name).create_if(|| false);
    /// assert!(matches!(refused, Err(CreateError::NotWanted)));
    /// assert!(shmx::Client::open(&name).is_err());
    /// # Ok(()) }
    /// ```
    pub fn create_if(&self, mut wanted: impl FnMut() -> bool) -> Result<Server, CreateError> {
        let name = RegionName::new(&self.name)?;
        let (directory, streams) = self.whole_directory()?;
        let plan = Plan {
            name,
            layout: self.layout_with(&directory)?,
            directory,
            streams,
            checksum: self.checksum,
            publish_time: self.publish_time,
            mode: self.mode,
            group: self.group,
            replace: self.replace,
            huge_pages: self.huge_pages,
            ring_always: self.ring_always,
            name_loss: self.name_loss,
            history: self.history,
            streaming_stores: self.streaming_stores,
        };
        create(plan, &mut wanted)
    }

    /// Where everything would lie in the region: how large it would be, and what takes the room.
    ///
    /// # Errors
    ///
    /// [`CreateError`] for options that make no region.
    ///
    /// ```
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let layout = shmx::Server::builder("camera").slots(4).frame_bytes(1 << 20).layout()?;
    /// assert!(layout.total_bytes() > 4 << 20);
    /// # Ok(()) }
    /// ```
    pub fn layout(&self) -> Result<RegionLayout, CreateError> {
        self.layout_with(&self.whole_directory()?.0)
    }

    fn layout_with(&self, directory: &[u8]) -> Result<RegionLayout, CreateError> {
        let used = directory.len() as u64;
        let directory_len = u32::try_from(used).map_err(|_| LayoutError::TooLarge { total: used })?;
        let frame_bytes_cap = match self.frame_bytes {
            Some(bytes) => bytes,
            None => frame_bytes(&self.streams)?,
        };
        let params = RegionParams {
            slots: self.slots.unwrap_or_else(|| default_slots(frame_bytes_cap)),
            reader_slots: self.reader_slots,
            static_bytes_cap: self.directory_bytes.unwrap_or_else(|| default_directory_bytes(directory_len)),
            frame_bytes_cap,
            control_per_reader: self.control_bytes,
        };
        Ok(RegionLayout::for_params(&params, directory_len)?)
    }

    /// The directory's bytes, and the streams they describe.
    fn whole_directory(&self) -> Result<(Vec<u8>, Vec<StreamInfo>), CreateError> {
        let mut bytes = self.directory.clone();
        let known: Result<Vec<_>, _> = Entries::new(&bytes).map(|e| e.map(StreamInfo::from)).collect();
        let mut streams = match known {
            Ok(streams) => streams,
            Err(source) if !self.streams.is_empty() => return Err(CreateError::Directory { source }),
            Err(_) => Entries::new(&bytes).map_while(Result::ok).map(StreamInfo::from).collect(),
        };
        if !self.streams.is_empty() {
            // It may end without its last record's padding.
            bytes.resize(bytes.len().next_multiple_of(TLV_ALIGN as usize), 0);
        }
        for (spec, _) in &self.streams {
            spec.append_to(&streams, &mut bytes)?;
            streams.push(spec.into());
        }
        // A ready-made directory may end in bytes that make the new entries part of a record of their own.
        let readable = Entries::new(&bytes).map_while(Result::ok).map(StreamInfo::from);
        if !self.streams.is_empty() && !readable.eq(streams.iter().cloned()) {
            return Err(CreateError::StrayBytes);
        }
        Ok((bytes, streams))
    }
}

/// What the streams take in a frame at their largest, record headers and padding included.
fn frame_bytes(streams: &[(StreamSpec, u32)]) -> Result<u32, StreamError> {
    if streams.is_empty() {
        return Ok(FRAME_BYTES);
    }
    let mut sum = 0_u32;
    for (spec, elems) in streams {
        let too_large = StreamError::TooLarge { id: spec.id, elems: *elems, bytes_per_elem: spec.bytes_per_elem };
        sum = spec.frame_bytes(*elems).and_then(|bytes| sum.checked_add(bytes)).ok_or(too_large)?;
    }
    Ok(sum.max(SECTION_ALIGN))
}

fn default_slots(frame_bytes: u32) -> u32 {
    let stride = u64::from(FRAME_HEADER_LEN) + u64::from(frame_bytes).next_multiple_of(u64::from(SECTION_ALIGN));
    let [many, few] = SLOTS;
    if u64::from(many) * stride > SLOT_BYTES { few } else { many }
}

fn default_directory_bytes(used: u32) -> u32 {
    let with_room = (u64::from(used) + DIRECTORY_ROOM).next_multiple_of(u64::from(SECTION_ALIGN));
    // One that leaves no room for more has no room for a frame either.
    u32::try_from(with_room).unwrap_or(used).max(DIRECTORY_BYTES)
}
