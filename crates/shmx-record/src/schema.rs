//! Protobuf schemas of the messages in a recording, as the descriptor sets that MCAP viewers read.

use crate::descriptor::{
    DescriptorProto, EnumDescriptorProto, EnumValueDescriptorProto, FieldDescriptorProto, FileDescriptorProto,
    FileDescriptorSet, Label, OneofDescriptorProto, Type,
};

/// Encoding of schemas and messages.
pub(crate) const PROTOBUF: &str = "protobuf";

/// Field numbers of `shmx.FloatValues` and its like.
pub(crate) mod value {
    pub(crate) const FRAME_ID: u32 = 1;
    pub(crate) const SIM_TIME: u32 = 2;
    pub(crate) const COMPONENTS: u32 = 3;
    pub(crate) const VALUES: u32 = 4;
}

/// A schema as an MCAP file carries it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Schema {
    pub(crate) name: String,
    pub(crate) data: Vec<u8>,
}

fn field(name: &str, number: i32, ty: Type) -> FieldDescriptorProto {
    FieldDescriptorProto {
        name: Some(name.into()),
        number: Some(number),
        label: Some(Label::Optional.into()),
        r#type: Some(ty.into()),
        json_name: Some(name.into()),
        ..FieldDescriptorProto::default()
    }
}

fn typed(name: &str, number: i32, ty: Type, type_name: &str) -> FieldDescriptorProto {
    FieldDescriptorProto { type_name: Some(type_name.into()), ..field(name, number, ty) }
}

fn repeated(f: FieldDescriptorProto) -> FieldDescriptorProto {
    FieldDescriptorProto { label: Some(Label::Repeated.into()), ..f }
}

fn message(name: &str, fields: Vec<FieldDescriptorProto>) -> DescriptorProto {
    DescriptorProto { name: Some(name.into()), field: fields, ..DescriptorProto::default() }
}

fn file(package: &str, name: &str, imports: &[&str], messages: Vec<DescriptorProto>) -> FileDescriptorProto {
    FileDescriptorProto {
        name: Some(name.into()),
        package: Some(package.into()),
        dependency: imports.iter().map(|&s| s.into()).collect(),
        message_type: messages,
        syntax: Some("proto3".into()),
    }
}

fn schema(name: &str, files: Vec<FileDescriptorProto>) -> Schema {
    Schema { name: name.into(), data: FileDescriptorSet { file: files }.encode_to_vec() }
}

const TIMESTAMP: &str = "google/protobuf/timestamp.proto";

fn timestamp() -> FileDescriptorProto {
    let fields = vec![field("seconds", 1, Type::Int64), field("nanos", 2, Type::Int32)];
    file("google.protobuf", TIMESTAMP, &[], vec![message("Timestamp", fields)])
}

fn time_field(number: i32) -> FieldDescriptorProto {
    typed("timestamp", number, Type::Message, ".google.protobuf.Timestamp")
}

/// `shmx.Frame`: a whole frame as it was in its slot. Field numbers in `format.rs`.
pub(crate) fn frame() -> Schema {
    schema("shmx.Frame", vec![frame_file()])
}

const FRAME: &str = "shmx/Frame.proto";

fn frame_file() -> FileDescriptorProto {
    use crate::format::field as f;
    // A field that may be absent needs a synthetic choice of one in proto3.
    let optional = |f, choice| FieldDescriptorProto { proto3_optional: Some(true), oneof_index: Some(choice), ..f };
    let choice = |name: &str| OneofDescriptorProto { name: Some(name.into()) };
    let mut m = message(
        "Frame",
        vec![
            field("frame_id", f::FRAME_ID as i32, Type::Fixed64),
            field("sim_time", f::SIM_TIME as i32, Type::Double),
            field("session_id", f::SESSION_ID as i32, Type::Fixed64),
            field("segment", f::SEGMENT as i32, Type::Fixed32),
            field("tlv_count", f::TLV_COUNT as i32, Type::Fixed32),
            optional(field("checksum", f::CHECKSUM as i32, Type::Fixed32), 0),
            field("slot", f::SLOT as i32, Type::Fixed32),
            field("missed_before", f::MISSED_BEFORE as i32, Type::Fixed64),
            optional(field("publish_ticks", f::PUBLISH_TICKS as i32, Type::Fixed64), 1),
            field("taken_ticks", f::TAKEN_TICKS as i32, Type::Fixed64),
            field("data_field", f::DATA_FIELD as i32, Type::Fixed32),
            field("data_at", f::DATA_AT as i32, Type::Fixed32),
            field("payload", f::PAYLOAD as i32, Type::Bytes),
        ],
    );
    m.oneof_decl = vec![choice("_checksum"), choice("_publish_ticks")];
    file("shmx", FRAME, &[], vec![m])
}

/// The field for the rest of a frame, in the message of one of its streams.
fn carried() -> FieldDescriptorProto {
    typed("shmx", crate::format::CARRIED as i32, Type::Message, ".shmx.Frame")
}

/// A field of the message of small streams.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FieldSpec<'a> {
    pub(crate) name: &'a str,
    pub(crate) number: u32,
    pub(crate) ty: Type,
    /// One number; otherwise a list.
    pub(crate) single: bool,
}

/// `shmx.Values_REGION_HASH`: a field for each small stream of a region. Viewers take messages of one name for messages
/// of one form, so the name says the form.
pub(crate) fn fields(region: &str, streams: &[FieldSpec<'_>]) -> Schema {
    let mut all = vec![
        field("frame_id", value::FRAME_ID as i32, Type::Fixed64),
        field("sim_time", value::SIM_TIME as i32, Type::Double),
    ];
    let mut choices = Vec::new();
    for s in streams {
        let f = field(s.name, s.number as i32, s.ty);
        all.push(if s.single {
            let oneof_index = Some(choices.len() as i32);
            choices.push(OneofDescriptorProto { name: Some(format!("_{}", s.name)) });
            FieldDescriptorProto { proto3_optional: Some(true), oneof_index, ..f }
        } else {
            repeated(f)
        });
    }
    let mut m = message("", all);
    m.oneof_decl = choices;
    let hash = shmx::abi::hash::fnv1a64(&m.encode_to_vec()) as u32;
    let name = format!("Values_{region}_{hash:08x}");
    m.name = Some(name.clone());
    schema(&format!("shmx.{name}"), vec![file("shmx", &format!("shmx/{name}.proto"), &[], vec![m])])
}

/// `shmx.Lifecycle`: what becomes of a region, as keys and values. Field numbers in `format/lifecycle.rs`.
pub(crate) fn lifecycle() -> Schema {
    use crate::format::fact as f;
    let fact =
        message("Fact", vec![field("key", f::KEY as i32, Type::String), field("value", f::VALUE as i32, Type::String)]);
    let facts = repeated(typed("facts", f::FACTS as i32, Type::Message, ".shmx.Fact"));
    let messages = vec![fact, message("Lifecycle", vec![facts])];
    schema("shmx.Lifecycle", vec![file("shmx", "shmx/Lifecycle.proto", &[], messages)])
}

/// `shmx.FloatValues` and the like: the values of a numeric stream, flat.
pub(crate) fn values(name: &str, ty: Type) -> Schema {
    use self::value as v;
    let m = message(
        name,
        vec![
            field("frame_id", v::FRAME_ID as i32, Type::Fixed64),
            field("sim_time", v::SIM_TIME as i32, Type::Double),
            field("components", v::COMPONENTS as i32, Type::Fixed32),
            repeated(field("values", v::VALUES as i32, ty)),
        ],
    );
    schema(&format!("shmx.{name}"), vec![file("shmx", &format!("shmx/{name}.proto"), &[], vec![m])])
}

/// `foxglove.RawImage`.
pub(crate) fn raw_image() -> Schema {
    let m = message(
        "RawImage",
        vec![
            time_field(1),
            field("frame_id", 7, Type::String),
            field("width", 2, Type::Fixed32),
            field("height", 3, Type::Fixed32),
            field("encoding", 4, Type::String),
            field("step", 5, Type::Fixed32),
            field("data", 6, Type::Bytes),
            carried(),
        ],
    );
    let main = file("foxglove", "foxglove/RawImage.proto", &[TIMESTAMP, FRAME], vec![m]);
    schema("foxglove.RawImage", vec![timestamp(), frame_file(), main])
}

/// `foxglove.CompressedImage`.
pub(crate) fn compressed_image() -> Schema {
    let m = message(
        "CompressedImage",
        vec![
            time_field(1),
            field("frame_id", 4, Type::String),
            field("data", 2, Type::Bytes),
            field("format", 3, Type::String),
            carried(),
        ],
    );
    let main = file("foxglove", "foxglove/CompressedImage.proto", &[TIMESTAMP, FRAME], vec![m]);
    schema("foxglove.CompressedImage", vec![timestamp(), frame_file(), main])
}

const VECTOR: &str = "foxglove/Vector3.proto";
const TURN: &str = "foxglove/Quaternion.proto";
const POSE: &str = "foxglove/Pose.proto";

/// What `foxglove.Pose` is made of, and itself.
fn pose_files() -> Vec<FileDescriptorProto> {
    let double = |name, n| field(name, n, Type::Double);
    let vector = message("Vector3", vec![double("x", 1), double("y", 2), double("z", 3)]);
    let turn = message("Quaternion", vec![double("x", 1), double("y", 2), double("z", 3), double("w", 4)]);
    let pose = message(
        "Pose",
        vec![
            typed("position", 1, Type::Message, ".foxglove.Vector3"),
            typed("orientation", 2, Type::Message, ".foxglove.Quaternion"),
        ],
    );
    vec![
        file("foxglove", VECTOR, &[], vec![vector]),
        file("foxglove", TURN, &[], vec![turn]),
        file("foxglove", POSE, &[VECTOR, TURN], vec![pose]),
    ]
}

/// `foxglove.PosesInFrame`.
pub(crate) fn poses() -> Schema {
    let m = message(
        "PosesInFrame",
        vec![
            time_field(1),
            field("frame_id", 2, Type::String),
            repeated(typed("poses", 3, Type::Message, ".foxglove.Pose")),
        ],
    );
    let main = file("foxglove", "foxglove/PosesInFrame.proto", &[TIMESTAMP, POSE], vec![m]);
    schema("foxglove.PosesInFrame", [vec![timestamp()], pose_files(), vec![main]].concat())
}

/// `foxglove.FrameTransform`.
pub(crate) fn transform() -> Schema {
    let m = message(
        "FrameTransform",
        vec![
            time_field(1),
            field("parent_frame_id", 2, Type::String),
            field("child_frame_id", 3, Type::String),
            typed("translation", 4, Type::Message, ".foxglove.Vector3"),
            typed("rotation", 5, Type::Message, ".foxglove.Quaternion"),
        ],
    );
    // Also brings what a pose is made of.
    let main = file("foxglove", "foxglove/FrameTransform.proto", &[TIMESTAMP, VECTOR, TURN], vec![m]);
    schema("foxglove.FrameTransform", [vec![timestamp()], pose_files(), vec![main]].concat())
}

/// `foxglove.PointCloud`.
pub(crate) fn point_cloud() -> Schema {
    let numeric_type = EnumDescriptorProto {
        name: Some("NumericType".into()),
        value: ["UNKNOWN", "UINT8", "INT8", "UINT16", "INT16", "UINT32", "INT32", "FLOAT32", "FLOAT64"]
            .iter()
            .zip(0..)
            .map(|(&name, n)| EnumValueDescriptorProto { name: Some(name.into()), number: Some(n) })
            .collect(),
    };
    let mut packed = message(
        "PackedElementField",
        vec![
            field("name", 1, Type::String),
            field("offset", 2, Type::Fixed32),
            typed("type", 3, Type::Enum, ".foxglove.PackedElementField.NumericType"),
        ],
    );
    packed.enum_type = vec![numeric_type];
    let cloud = message(
        "PointCloud",
        vec![
            time_field(1),
            field("frame_id", 2, Type::String),
            typed("pose", 3, Type::Message, ".foxglove.Pose"),
            field("point_stride", 4, Type::Fixed32),
            repeated(typed("fields", 5, Type::Message, ".foxglove.PackedElementField")),
            field("data", 6, Type::Bytes),
            carried(),
        ],
    );
    let packed_file = "foxglove/PackedElementField.proto";
    let main = file("foxglove", "foxglove/PointCloud.proto", &[TIMESTAMP, POSE, packed_file, FRAME], vec![cloud]);
    let packed = file("foxglove", packed_file, &[], vec![packed]);
    schema("foxglove.PointCloud", [vec![timestamp(), frame_file()], pose_files(), vec![packed, main]].concat())
}

#[cfg(test)]
mod tests {
    use super::*;
    use prost::Message as _;

    /// Another's library reads what is written here, and would write the same bytes.
    #[test]
    fn schemas_are_descriptor_sets() {
        let all = [
            (frame(), 1, 13),
            (lifecycle(), 1, 3),
            (values("FloatValues", Type::Float), 1, 4),
            (raw_image(), 3, 23),
            (compressed_image(), 3, 20),
            (point_cloud(), 7, 34),
            (poses(), 5, 14),
            (transform(), 5, 16),
            (fields("robot", &[FieldSpec { name: "tick", number: 16, ty: Type::Fixed64, single: true }]), 1, 3),
        ];
        for (schema, files, fields) in all {
            let set = prost_types::FileDescriptorSet::decode(&*schema.data).unwrap();
            assert_eq!(set.encode_to_vec(), schema.data, "{}", schema.name);
            assert_eq!(set.file.len(), files, "{}", schema.name);
            let messages: Vec<_> = set.file.iter().flat_map(|f| &f.message_type).collect();
            assert_eq!(messages.iter().map(|m| m.field.len()).sum::<usize>(), fields, "{}", schema.name);
            let last = set.file.last().unwrap();
            let full = |m: &prost_types::DescriptorProto| format!("{}.{}", last.package(), m.name());
            assert!(last.message_type.iter().any(|m| full(m) == schema.name), "{}", schema.name);
        }
    }
}
