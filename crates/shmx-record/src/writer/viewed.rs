//! The messages that viewers show, beside the frames.

use super::{Open, RecordWriter, RegionIndex, Times, Viewed};
use crate::error::RecordError;
use crate::fields::{SMALL, VALUES};
use crate::format::{CARRIES, Carried, FRAMES, FrameHead};
use crate::views::{self, Source, View};
use mcap::records::MessageHeader;
use shmx::abi::frame::{StreamData, Streams};
use std::time::Instant;

impl RecordWriter {
    pub(super) fn message(
        &mut self,
        channel_id: u16,
        head: &FrameHead,
        times: Times,
        data: &[u8],
    ) -> Result<(), RecordError> {
        let Times { log: log_time, publish: publish_time } = times;
        let header = MessageHeader { channel_id, sequence: head.frame_id as u32, log_time, publish_time };
        self.with(|m| m.write_to_known_channel(&header, data))?;
        if let Some(file) = &mut self.file {
            // Record head, message head, and its place in the index.
            file.pending += data.len() as u64 + 47;
            file.messages += 1;
            file.pending_since.get_or_insert_with(Instant::now);
        }
        Ok(())
    }

    /// Writes a frame and the messages of its streams. The bytes of the largest image or cloud are written once: its
    /// message carries the rest of the frame.
    pub(super) fn viewed_frame(
        &mut self,
        region: RegionIndex,
        head: &FrameHead,
        times: Times,
        payload: &[u8],
        message: &mut Vec<u8>,
    ) -> Result<(), RecordError> {
        // Put back before this returns: the writer's methods are needed meanwhile.
        let Some(mut open) = self.regions[region.0].open.take() else { return Ok(()) };
        let result = self.frame_of(&mut open, head, times, payload, message);
        self.regions[region.0].open = Some(open);
        result
    }

    fn frame_of(
        &mut self,
        open: &mut Open,
        head: &FrameHead,
        times: Times,
        payload: &[u8],
        message: &mut Vec<u8>,
    ) -> Result<(), RecordError> {
        let name = open.segment.region.clone();
        let from = Source { frame_id: head.frame_id, sim_time: head.sim_time(), time: times.publish };
        let streams: Vec<StreamData<'_>> = Streams::new(payload).map_while(Result::ok).collect();
        let carrier = carrier(open, &streams, from, payload, message);
        match &carrier {
            Some((at, carried)) => {
                head.encode_carried(payload, carried, message);
                let id = self.view_channel(&name, &mut open.views[*at])?;
                self.message(id, head, times, message)?;
                self.written.messages += 1;
            }
            None => {
                head.encode(payload, message);
                self.message(open.channel, head, times, message)?;
            }
        }
        let mut small = Vec::new();
        for stream in &streams {
            let fits = stream.data.len() <= SMALL && open.fields.has(stream.stream_id);
            if fits && !small.iter().any(|&(id, _)| id == stream.stream_id) {
                small.push((stream.stream_id, stream.data));
            }
            for at in 0..open.views.len() {
                let c = &open.views[at].channel;
                let written = carrier.as_ref().is_some_and(|(carrier, _)| *carrier == at);
                let in_fields = fits && matches!(c.view, View::Values { .. });
                if c.stream != stream.stream_id || written || in_fields {
                    continue;
                }
                if !views::encode(&c.view, from, stream, self.options.view_bytes, message) {
                    self.written.unviewed += 1;
                    continue;
                }
                let id = self.view_channel(&name, &mut open.views[at])?;
                self.message(id, head, times, message)?;
                self.written.messages += 1;
            }
        }
        if small.is_empty() {
            return Ok(());
        }
        if open.fields.settle(&small) {
            open.fields_channel = None;
        }
        open.fields.encode(from, &small, message);
        let id = match open.fields_channel {
            Some(id) => id,
            None => {
                let topic = format!("/{name}/{VALUES}");
                self.add_channel(&open.fields.schema(&name), &topic, &[("region", name.clone())])?
            }
        };
        open.fields_channel = Some(id);
        self.written.messages += 1;
        self.message(id, head, times, message)
    }

    fn view_channel(&mut self, region: &str, viewed: &mut Viewed) -> Result<u16, RecordError> {
        if let Some(id) = viewed.id {
            return Ok(id);
        }
        let c = &viewed.channel;
        let mut about = vec![("region", region.to_owned()), ("stream_id", c.stream.to_string())];
        if c.view.data_field().is_some() {
            about.push((CARRIES, FRAMES.to_owned()));
        }
        let id = self.add_channel(&c.schema, &c.topic, &about)?;
        viewed.id = Some(id);
        Ok(id)
    }
}

/// The stream with the most bytes that has a message with just these bytes in it, which is then in `message`: which
/// view it is, and where the bytes are.
fn carrier(
    open: &Open,
    streams: &[StreamData<'_>],
    from: Source,
    payload: &[u8],
    message: &mut Vec<u8>,
) -> Option<(usize, Carried)> {
    let views = || open.views.iter().enumerate();
    let with_bytes = |s: &&StreamData<'_>| {
        let view = views().find(|(_, v)| v.channel.stream == s.stream_id && v.channel.view.data_field().is_some());
        view.is_some() && s.data.len() > SMALL
    };
    let largest = streams.iter().filter(with_bytes).max_by_key(|s| s.data.len())?;
    let (at, viewed) =
        views().find(|(_, v)| v.channel.stream == largest.stream_id && v.channel.view.data_field().is_some())?;
    let start = largest.data.as_ptr().addr().checked_sub(payload.as_ptr().addr())?;
    let data = start..start.checked_add(largest.data.len()).filter(|&end| end <= payload.len())?;
    let data_field = viewed.channel.view.data_field()?;
    // It takes no room of its own, so there is no limit.
    views::encode(&viewed.channel.view, from, largest, usize::MAX, message)
        .then_some((at, Carried { data_field, data }))
}
