//! The numbers of a region's small streams as one message, with a field for each stream under its name.

use crate::numbers::{Number, append};
use crate::pb::Writer;
use crate::schema::{self, FieldSpec, Schema, value};
use crate::views::{Source, is_numeric};
use shmx::StreamInfo;
use shmx::meta::{Role, StreamMeta, View};

/// Streams with at most so many bytes in a frame get a field; longer ones have messages of their own.
pub(crate) const SMALL: usize = 1024;

/// The last part of the topic.
pub(crate) const VALUES: &str = "values";

/// The first field number of a stream.
const FIRST: u32 = value::SIM_TIME + 1;
/// Numbers that protobuf keeps for itself.
const RESERVED: std::ops::RangeInclusive<u32> = 19_000..=19_999;

#[derive(Clone, Debug)]
struct Field {
    stream: u32,
    name: String,
    number: u32,
    kind: Number,
    /// One number in a frame, under its name alone; otherwise a list.
    single: bool,
}

/// The fields of one region.
#[derive(Clone, Debug, Default)]
pub(crate) struct Fields {
    fields: Vec<Field>,
    /// Streams of the directory that were looked at.
    known: usize,
    /// Whether a message was made: until then the first frame says which streams have single numbers.
    settled: bool,
}

impl Fields {
    /// Takes in the streams that were added to the directory. Says whether the message has other fields now.
    pub(crate) fn extend(&mut self, streams: &[StreamInfo]) -> bool {
        let before = self.fields.len();
        for stream in streams.iter().skip(self.known) {
            self.known += 1;
            let (meta, _) = StreamMeta::parse(&stream.extra);
            let Some(kind) = stream.element_type().and_then(Number::of).filter(|_| is_numeric(stream)) else {
                continue;
            };
            let image = crate::views::ImageInfo::of(stream).is_some() && meta.view != Some(View::Values);
            if meta.view == Some(View::Nothing) || image {
                continue;
            }
            let single =
                stream.components == 1 && (meta.role == Some(Role::Time) || meta.shape.as_deref() == Some(&[1]));
            let (name, number) = (self.name_for(stream), self.next_number());
            self.fields.push(Field { stream: stream.id, name, number, kind, single });
        }
        self.fields.len() != before
    }

    fn next_number(&self) -> u32 {
        let next = self.fields.last().map_or(FIRST, |f| f.number + 1);
        if RESERVED.contains(&next) { RESERVED.end() + 1 } else { next }
    }

    /// The stream's name as protobuf allows it, and as no other field has it.
    fn name_for(&self, stream: &StreamInfo) -> String {
        let mut name = identifier(&stream.name_lossy());
        if name.is_empty() {
            name = "stream".into();
        }
        let taken = |name: &str| ["frame_id", "sim_time"].contains(&name) || self.fields.iter().any(|f| f.name == name);
        if taken(&name) {
            name = format!("{name}_{}", stream.id);
        }
        while taken(&name) {
            name.push('x');
        }
        name
    }

    /// Prepares for a frame whose small streams have so many numbers. Says whether the message has other fields now.
    pub(crate) fn settle(&mut self, small: &[(u32, &[u8])]) -> bool {
        let mut changed = false;
        for &(stream, data) in small {
            let Some(field) = self.fields.iter_mut().find(|f| f.stream == stream) else { continue };
            let one = data.len() == field.kind.size();
            if one != field.single && (!self.settled || field.single) {
                (field.single, changed) = (one, true);
            }
        }
        self.settled = true;
        changed
    }

    /// Whether a frame can be encoded with the fields as they are: none that holds a single number has another count.
    pub(crate) fn fits(&self, small: &[(u32, &[u8])]) -> bool {
        let fits = |&(stream, data): &(u32, &[u8])| {
            self.fields.iter().find(|f| f.stream == stream).is_none_or(|f| !f.single || data.len() == f.kind.size())
        };
        small.iter().all(fits)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.fields.is_empty()
    }

    pub(crate) fn has(&self, stream: u32) -> bool {
        self.fields.iter().any(|f| f.stream == stream)
    }

    /// The schema of the message of this region.
    pub(crate) fn schema(&self, region: &str) -> Schema {
        let specs = self.fields.iter().map(|f| FieldSpec {
            name: &f.name,
            number: f.number,
            ty: f.kind.proto(),
            single: f.single,
        });
        schema::fields(&identifier(region), &specs.collect::<Vec<_>>())
    }

    /// Replaces `out` by the message of a frame, whose small streams these are.
    pub(crate) fn encode(&self, from: Source, small: &[(u32, &[u8])], out: &mut Vec<u8>) {
        out.clear();
        let mut w = Writer(out);
        w.fixed64(value::FRAME_ID, from.frame_id);
        w.fixed64(value::SIM_TIME, from.sim_time.to_bits());
        for &(stream, data) in small {
            let Some(field) = self.fields.iter().find(|f| f.stream == stream) else { continue };
            if field.single {
                field.kind.append_one(field.number, data, out);
            } else {
                let count = data.len() / field.kind.size();
                Writer(out).length(field.number, count * field.kind.width());
                append(field.kind, data, out);
            }
        }
    }
}

/// Letters, digits and `_`, the first one a letter; empty if nothing is left.
fn identifier(text: &str) -> String {
    let mut name: String = text.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect();
    if name.starts_with(|c: char| !c.is_ascii_alphabetic()) {
        name.insert(0, 's');
    }
    name
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pb::{Reader, Value};
    use ElementType::{F32, I16, U8, U64};
    use shmx::{ElementType, StreamSpec};

    fn stream(id: u32, name: &str, ty: ElementType, components: u32, extra: &str) -> StreamInfo {
        (&StreamSpec::new(id, name, ty, components).extra(extra)).into()
    }

    fn names(f: &Fields) -> Vec<(&str, u32)> {
        f.fields.iter().map(|f| (f.name.as_str(), f.number)).collect()
    }

    #[test]
    fn each_numeric_stream_has_a_field_under_its_own_name() {
        let mut f = Fields::default();
        let all = [
            stream(1, "speed", F32, 1, ""),
            stream(2, "2 fast!", F32, 1, ""),
            stream(3, "speed", F32, 3, ""),
            stream(4, "frame_id", U64, 1, ""),
            stream(5, "", U64, 1, ""),
            stream(6, "_x", U8, 1, ""),
            stream(7, "image", U8, 3, r#"{"role":"image","shape":[2,4]}"#),
            stream(8, "hidden", U8, 1, r#"{"view":"none"}"#),
            stream(9, "speed_3", U8, 1, ""),
        ];
        assert!(f.extend(&all[..3]));
        assert!(!f.extend(&all[..3]) && f.extend(&all));
        let expected = [
            ("speed", 3),
            ("s2_fast_", 4),
            ("speed_3", 5),
            ("frame_id_4", 6),
            ("stream", 7),
            ("s_x", 8),
            ("speed_3_9", 9),
        ];
        assert_eq!(names(&f), expected);
        f.fields.last_mut().unwrap().number = 18_999;
        assert_eq!(f.next_number(), 20_000);
    }

    #[test]
    fn what_has_one_number_is_one_until_it_has_more() {
        let mut f = Fields::default();
        f.extend(&[stream(1, "a", F32, 1, ""), stream(2, "b", I16, 1, ""), stream(3, "t", U64, 1, r#"{"shape":[1]}"#)]);
        let first = f.schema("r");
        let (one, two) = (1.5_f32.to_ne_bytes(), [1_i16.to_ne_bytes(), (-2_i16).to_ne_bytes()].concat());
        assert!(f.settle(&[(1, &one), (2, &two)]), "a is a single number");
        let (schema, mut out) = (f.schema("r"), Vec::new());
        assert_ne!(schema.name, first.name);
        let from = Source { frame_id: 9, sim_time: 0.5, time: 1 };
        f.encode(from, &[(1, &one), (2, &two), (77, &one)], &mut out);
        let list = [1_i32.to_le_bytes(), (-2_i32).to_le_bytes()].concat();
        let got: Vec<_> = Reader(&out).map(Result::unwrap).collect();
        let expected = [
            (1, Value::Fixed64(9)),
            (2, Value::Fixed64(0.5_f64.to_bits())),
            (3, Value::Fixed32(1.5_f32.to_bits())),
            (4, Value::Bytes(&list)),
        ];
        assert_eq!(got, expected);
        assert!(!f.settle(&[(1, &one), (2, &one[..2])]), "a list of one is a list");
        assert!(f.fits(&[(1, &one), (2, &two), (77, &two)]) && !f.fits(&[(1, &two[..2])]) && !f.fits(&[(1, &[0; 8])]));
        assert!(f.settle(&[(1, &[0; 8])]), "from now on a list");
        assert!(!f.settle(&[(1, &one)]));
        assert!(!f.schema("r").name.is_empty() && f.schema("a b").name.starts_with("shmx.Values_a_b_"));
    }
}
