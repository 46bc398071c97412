//! The messages of [`crate::views`] for those who send them elsewhere than into a file.

use crate::fields::{Fields, SMALL, VALUES};
use crate::format::stream_names;
use crate::schema::Schema;
use crate::views::{self, Source, ViewChannel};
use shmx::Directory;
use shmx::abi::frame::{StreamData, Streams};

/// What viewers see of a stream, under a topic and a schema of its own: the same messages as in a recording, where
/// numbers of small streams are in those of [`ValuesTopic`] instead.
///
/// ```
/// use shmx::{Server, Stream, Tap};
/// use shmx_record::{MessageOf, ViewTopic};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// const POSITION: Stream<[f32; 3]> = Stream::new(1, "position");
/// # let name = format!("doc-topic-{}", std::process::id());
/// let mut server = Server::builder(&name).stream(POSITION, 9).create()?;
/// let mut tap = Tap::open(&name)?;
/// let topics = ViewTopic::all("robot", &*tap.directory()?);
/// assert_eq!(topics.iter().map(ViewTopic::topic).collect::<Vec<_>>(), ["/robot/position", "/robot/position/points"]);
///
/// let mut frame = server.begin_frame()?;
/// frame.append_stream(POSITION, &[[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])?;
/// frame.publish_frame(0.5)?;
/// let frame = tap.try_wait()?.expect("one was published");
/// let data = frame.stream(topics[1].stream_id())?.expect("it has the stream");
/// let about = MessageOf { frame_id: frame.frame_id(), sim_time: frame.sim_time(), wall_ns: 1 };
/// let mut message = Vec::new();
/// assert!(topics[1].encode(about, data.data, 1 << 20, &mut message));
/// assert_eq!(topics[1].schema_name(), "foxglove.PointCloud");
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
pub struct ViewTopic(ViewChannel);

/// The frame that a message is made of.
#[derive(Clone, Copy, Debug)]
pub struct MessageOf {
    /// Id of the frame.
    pub frame_id: u64,
    /// The producer's own time.
    pub sim_time: f64,
    /// Wall clock of publishing, nanoseconds since 1970.
    pub wall_ns: u64,
}

impl MessageOf {
    const fn source(self) -> Source {
        Source { frame_id: self.frame_id, sim_time: self.sim_time, time: self.wall_ns }
    }
}

impl ViewTopic {
    /// All topics of a region, in the order of its directory.
    #[must_use]
    pub fn all(region: &str, directory: &Directory) -> Vec<Self> {
        let names = stream_names(directory);
        let streams = directory.streams.iter().zip(&names);
        streams.flat_map(|(s, name)| views::views_of(region, name, s)).map(Self).collect()
    }

    /// The topic: `/REGION/STREAM`, and more for points and poses.
    #[must_use]
    pub fn topic(&self) -> &str {
        &self.0.topic
    }

    /// Number of the stream.
    #[must_use]
    pub const fn stream_id(&self) -> u32 {
        self.0.stream
    }

    /// Name of the messages' schema.
    #[must_use]
    pub fn schema_name(&self) -> &str {
        &self.0.schema.name
    }

    /// The schema: a protobuf `FileDescriptorSet`.
    #[must_use]
    pub fn schema(&self) -> &[u8] {
        &self.0.schema.data
    }

    /// Replaces `out` by the message for a stream's data; false if the data does not fit its description, or the
    /// message would have more than `limit` bytes. Images have no limit.
    #[must_use]
    pub fn encode(&self, of: MessageOf, data: &[u8], limit: usize, out: &mut Vec<u8>) -> bool {
        let from = of.source();
        let data = StreamData { stream_id: self.0.stream, elem_count: 0, data };
        views::encode(&self.0.view, from, &data, limit, out)
    }
}

/// The numbers of a region's small streams in one message a frame, under `/REGION/values`, with a field for each stream
/// under its name.
///
/// ```
/// use shmx::{Server, Stream, Tap};
/// use shmx_record::{MessageOf, ValuesTopic};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// const SPEED: Stream<f32> = Stream::new(1, "speed");
/// # let name = format!("doc-values-{}", std::process::id());
/// let mut server = Server::builder(&name).stream(SPEED, 9).create()?;
/// let mut tap = Tap::open(&name)?;
/// let mut frame = server.begin_frame()?;
/// frame.append_value(SPEED, 1.5)?;
/// frame.publish_frame(0.5)?;
/// let directory = tap.directory()?;
/// let frame = tap.try_wait()?.expect("one was published");
/// let topic = ValuesTopic::of("robot", &directory, Some(frame.payload())).expect("it has a stream of numbers");
/// assert_eq!(topic.topic(), "/robot/values");
/// let about = MessageOf { frame_id: frame.frame_id(), sim_time: frame.sim_time(), wall_ns: 1 };
/// let mut message = Vec::new();
/// assert!(topic.fits(frame.payload()) && topic.encode(about, frame.payload(), &mut message));
/// assert!(message.ends_with(&1.5_f32.to_le_bytes()));
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
pub struct ValuesTopic {
    topic: String,
    fields: Fields,
    schema: Schema,
}

impl ValuesTopic {
    /// The topic of a region; `None` if no stream has numbers. A payload says which streams have a single number in a
    /// frame and so a plain field; without one, and for streams that are not in it, their descriptions do.
    #[must_use]
    pub fn of(region: &str, directory: &Directory, payload: Option<&[u8]>) -> Option<Self> {
        let mut fields = Fields::default();
        fields.extend(&directory.streams);
        if let Some(payload) = payload {
            fields.settle(&small(&fields, payload));
        }
        let schema = fields.schema(region);
        (!fields.is_empty()).then(|| Self { topic: format!("/{region}/{VALUES}"), fields, schema })
    }

    /// The topic: `/REGION/values`.
    #[must_use]
    pub fn topic(&self) -> &str {
        &self.topic
    }

    /// Name of the messages' schema.
    #[must_use]
    pub fn schema_name(&self) -> &str {
        &self.schema.name
    }

    /// The schema: a protobuf `FileDescriptorSet`.
    #[must_use]
    pub fn schema(&self) -> &[u8] {
        &self.schema.data
    }

    /// Whether the schema has room for a frame; otherwise a stream that had a single number has another count now, and
    /// [`ValuesTopic::grown`] has a list for it.
    #[must_use]
    pub fn fits(&self, payload: &[u8]) -> bool {
        self.fields.fits(&small(&self.fields, payload))
    }

    /// The topic with room for a frame, too; lists stay lists.
    #[must_use]
    pub fn grown(&self, region: &str, payload: &[u8]) -> Self {
        let mut fields = self.fields.clone();
        fields.settle(&small(&fields, payload));
        let schema = fields.schema(region);
        Self { topic: self.topic.clone(), fields, schema }
    }

    /// Replaces `out` by the message for a frame; false if it has no small stream, or does not fit.
    #[must_use]
    pub fn encode(&self, of: MessageOf, payload: &[u8], out: &mut Vec<u8>) -> bool {
        let small = small(&self.fields, payload);
        if small.is_empty() || !self.fields.fits(&small) {
            return false;
        }
        self.fields.encode(of.source(), &small, out);
        true
    }
}

/// Small streams in a frame that have a field, each once.
fn small<'p>(fields: &Fields, payload: &'p [u8]) -> Vec<(u32, &'p [u8])> {
    let mut all: Vec<(u32, &[u8])> = Vec::new();
    for s in Streams::new(payload).map_while(Result::ok) {
        let wanted = s.data.len() <= SMALL && fields.has(s.stream_id);
        if wanted && !all.iter().any(|&(id, _)| id == s.stream_id) {
            all.push((s.stream_id, s.data));
        }
    }
    all
}
