//! What Foxglove's clients can subscribe to: the messages of recordings, for frames as they come.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use shmx::{Directory, Frame};
use shmx_record::{MessageOf, ValuesTopic, ViewTopic};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Longest message of numbers or points.
const MOST: usize = 32 << 20;

/// A topic of a region.
#[derive(Clone, Debug)]
pub(crate) enum Topic {
    /// An image, points, poses, or the numbers of one stream.
    One(Arc<ViewTopic>),
    /// The numbers of all small streams.
    Values(Arc<Values>),
}

#[derive(Debug)]
pub(crate) struct Values {
    topic: ValuesTopic,
    /// After a frame came for which it has no room: what has.
    grown: Mutex<Option<ValuesTopic>>,
}

fn lock<T>(m: &Mutex<T>) -> MutexGuard<'_, T> {
    m.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Topic {
    /// All of a region. The payload of its newest frame says which streams have a single number.
    pub(crate) fn all(region: &str, directory: &Directory, payload: Option<&[u8]>) -> Vec<Self> {
        let values = ValuesTopic::of(region, directory, payload).map(Self::values);
        let others = ViewTopic::all(region, directory).into_iter().map(|t| Self::One(Arc::new(t)));
        values.into_iter().chain(others).collect()
    }

    fn values(topic: ValuesTopic) -> Self {
        Self::Values(Arc::new(Values { topic, grown: Mutex::default() }))
    }

    /// What takes its place, if a frame had no room in it.
    pub(crate) fn grown(&self) -> Option<Self> {
        let Self::Values(v) = self else { return None };
        lock(&v.grown).clone().map(Self::values)
    }

    /// As it is advertised.
    pub(crate) fn channel(&self, id: u32) -> Value {
        let (topic, name, schema) = match self {
            Self::One(t) => (t.topic(), t.schema_name(), t.schema()),
            Self::Values(v) => (v.topic.topic(), v.topic.schema_name(), v.topic.schema()),
        };
        json!({
            "id": id,
            "topic": topic,
            "encoding": "protobuf",
            "schemaName": name,
            "schema": STANDARD.encode(schema),
            "schemaEncoding": "protobuf",
        })
    }

    /// The message for a frame; `None` if it has none.
    pub(crate) fn encode(&self, region: &str, of: MessageOf, frame: &Frame<'_>) -> Option<Vec<u8>> {
        let mut message = Vec::new();
        let made = match self {
            Self::One(t) => {
                let stream = frame.stream(t.stream_id()).ok().flatten()?;
                message.reserve(64 + stream.data.len());
                t.encode(of, stream.data, MOST, &mut message)
            }
            Self::Values(v) if v.topic.fits(frame.payload()) => v.topic.encode(of, frame.payload(), &mut message),
            Self::Values(v) => {
                lock(&v.grown).get_or_insert_with(|| v.topic.grown(region, frame.payload()));
                false
            }
        };
        made.then_some(message)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use shmx::{Server, Stream, Tap};

    const SPEED: Stream<f32> = Stream::new(1, "speed");

    #[test]
    fn a_stream_that_gets_longer_has_a_list_from_then_on() {
        let name = format!("shmx-live-topics-{}", std::process::id());
        let mut server = Server::builder(&name).stream(SPEED, 4).create().unwrap();
        let mut tap = Tap::open(&name).unwrap();
        let mut publish = |values: &[f32]| {
            let mut f = server.begin_frame().unwrap();
            f.append_stream(SPEED, values).unwrap();
            f.publish_frame(0.0).unwrap();
        };
        let of = MessageOf { frame_id: 1, sim_time: 0.0, wall_ns: 1 };
        publish(&[1.5]);
        let directory = tap.directory().unwrap();
        let frame = tap.try_wait().unwrap().unwrap();
        let topics = Topic::all(&name, &directory, Some(frame.payload()));
        assert_eq!(topics.len(), 2);
        assert_eq!(topics[0].channel(7)["topic"], format!("/{name}/values"));
        assert!(topics[0].encode(&name, of, &frame).unwrap().ends_with(&1.5_f32.to_le_bytes()));
        assert!(topics[0].grown().is_none());
        drop(frame);
        publish(&[1.5, 2.5]);
        let frame = tap.try_wait().unwrap().unwrap();
        assert!(topics[0].encode(&name, of, &frame).is_none());
        assert!(topics[1].encode(&name, of, &frame).is_some() && topics[1].grown().is_none());
        let again = topics[0].grown().unwrap();
        assert_ne!(again.channel(7)["schemaName"], topics[0].channel(7)["schemaName"]);
        assert!(again.encode(&name, of, &frame).is_some());
        drop(frame);
        publish(&[1.5]);
        let frame = tap.try_wait().unwrap().unwrap();
        assert!(again.encode(&name, of, &frame).is_some() && again.grown().is_none(), "a list of one is a list");
    }
}
