//! The messages that viewers show, beside the frames.

use super::{RecordWriter, RegionIndex, Times};
use crate::error::RecordError;
use crate::format::FrameHead;
use crate::views::{self, Source};
use mcap::records::MessageHeader;
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
            file.pending_since.get_or_insert_with(Instant::now);
        }
        Ok(())
    }

    pub(super) fn view_messages(
        &mut self,
        region: RegionIndex,
        head: &FrameHead,
        times: Times,
        payload: &[u8],
        message: &mut Vec<u8>,
    ) -> Result<(), RecordError> {
        // Put back before this returns: the writer's methods are needed meanwhile.
        let Some(mut open) = self.regions[region.0].open.take() else { return Ok(()) };
        let mut result = Ok(());
        let source = Source {
            region: &open.segment.region,
            frame_id: head.frame_id,
            sim_time: head.sim_time(),
            time: times.publish,
        };
        'streams: for stream in shmx::abi::frame::Streams::new(payload).map_while(Result::ok) {
            for viewed in open.views.iter_mut().filter(|v| v.channel.stream == stream.stream_id) {
                let c = &viewed.channel;
                if !views::encode(&c.view, source, &stream, self.options.view_bytes, message) {
                    self.written.unviewed += 1;
                    continue;
                }
                let id = match viewed.id {
                    Some(id) => Ok(id),
                    None => {
                        let about = [("region", open.segment.region.clone()), ("stream_id", c.stream.to_string())];
                        self.add_channel(&c.schema, &c.topic, &about)
                    }
                };
                result = id.and_then(|id| {
                    viewed.id = Some(id);
                    self.message(id, head, times, message)
                });
                if result.is_err() {
                    break 'streams;
                }
                self.written.messages += 1;
            }
        }
        self.regions[region.0].open = Some(open);
        result
    }
}
