//! The messages of [`crate::views`] for those who send them elsewhere than into a file.

use crate::format::stream_names;
use crate::views::{self, Source, ViewChannel};
use shmx::Directory;
use shmx::abi::frame::StreamData;

/// What viewers see of a stream, under a topic and a schema of its own: the same messages as in a recording.
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
/// frame.append_stream(POSITION, &[[1.0, 2.0, 3.0]])?;
/// frame.publish_frame(0.5)?;
/// let frame = tap.try_wait()?.expect("one was published");
/// let data = frame.stream(topics[1].stream_id())?.expect("it has the stream");
/// let about = MessageOf { region: "robot", frame_id: frame.frame_id(), sim_time: frame.sim_time(), wall_ns: 1 };
/// let mut message = Vec::new();
/// assert!(topics[1].encode(about, data.data, 1 << 20, &mut message));
/// assert_eq!(topics[1].schema_name(), "foxglove.PointCloud");
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
pub struct ViewTopic(ViewChannel);

/// The frame that a message is made of.
#[derive(Clone, Copy, Debug)]
pub struct MessageOf<'a> {
    /// Name of the region: the frame of reference of points and poses that name none.
    pub region: &'a str,
    /// Id of the frame.
    pub frame_id: u64,
    /// The producer's own time.
    pub sim_time: f64,
    /// Wall clock of publishing, nanoseconds since 1970.
    pub wall_ns: u64,
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
    pub fn encode(&self, of: MessageOf<'_>, data: &[u8], limit: usize, out: &mut Vec<u8>) -> bool {
        let from = Source { region: of.region, frame_id: of.frame_id, sim_time: of.sim_time, time: of.wall_ns };
        let data = StreamData { stream_id: self.0.stream, elem_count: 0, data };
        views::encode(&self.0.view, from, &data, limit, out)
    }
}
