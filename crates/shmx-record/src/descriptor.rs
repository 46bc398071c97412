//! Descriptors of protobuf messages: the little of `descriptor.proto` that schemas need, by its names, encoded as `protoc`
//! does. The library that has all of it takes eight crates and seconds of every build of the command.

use crate::pb::Writer;

/// Types of fields, by their numbers in `descriptor.proto`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Type {
    Double = 1,
    Float = 2,
    Int64 = 3,
    Int32 = 5,
    Fixed64 = 6,
    Fixed32 = 7,
    Bool = 8,
    String = 9,
    Message = 11,
    Bytes = 12,
    Enum = 14,
    Sfixed32 = 15,
    Sfixed64 = 16,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Label {
    Optional = 1,
    Repeated = 3,
}

impl From<Type> for i32 {
    fn from(ty: Type) -> Self {
        ty as Self
    }
}

impl From<Label> for i32 {
    fn from(label: Label) -> Self {
        label as Self
    }
}

#[derive(Clone, Debug, Default)]
pub(crate) struct FieldDescriptorProto {
    pub(crate) name: Option<String>,
    pub(crate) number: Option<i32>,
    pub(crate) label: Option<i32>,
    pub(crate) r#type: Option<i32>,
    pub(crate) type_name: Option<String>,
    pub(crate) oneof_index: Option<i32>,
    pub(crate) json_name: Option<String>,
    pub(crate) proto3_optional: Option<bool>,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct EnumValueDescriptorProto {
    pub(crate) name: Option<String>,
    pub(crate) number: Option<i32>,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct EnumDescriptorProto {
    pub(crate) name: Option<String>,
    pub(crate) value: Vec<EnumValueDescriptorProto>,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct OneofDescriptorProto {
    pub(crate) name: Option<String>,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct DescriptorProto {
    pub(crate) name: Option<String>,
    pub(crate) field: Vec<FieldDescriptorProto>,
    pub(crate) enum_type: Vec<EnumDescriptorProto>,
    pub(crate) oneof_decl: Vec<OneofDescriptorProto>,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct FileDescriptorProto {
    pub(crate) name: Option<String>,
    pub(crate) package: Option<String>,
    pub(crate) dependency: Vec<String>,
    pub(crate) message_type: Vec<DescriptorProto>,
    pub(crate) syntax: Option<String>,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct FileDescriptorSet {
    pub(crate) file: Vec<FileDescriptorProto>,
}

impl FileDescriptorSet {
    pub(crate) fn encode_to_vec(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        messages(&mut Writer(&mut bytes), 1, &self.file, FileDescriptorProto::encode);
        bytes
    }
}

// Fields in the order of their numbers, as everybody writes them.

impl FileDescriptorProto {
    fn encode(&self, w: &mut Writer<'_>) {
        text(w, 1, self.name.as_ref());
        text(w, 2, self.package.as_ref());
        self.dependency.iter().for_each(|name| text(w, 3, Some(name)));
        messages(w, 4, &self.message_type, DescriptorProto::encode);
        text(w, 12, self.syntax.as_ref());
    }
}

impl DescriptorProto {
    pub(crate) fn encode_to_vec(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        self.encode(&mut Writer(&mut bytes));
        bytes
    }

    fn encode(&self, w: &mut Writer<'_>) {
        text(w, 1, self.name.as_ref());
        messages(w, 2, &self.field, FieldDescriptorProto::encode);
        messages(w, 4, &self.enum_type, EnumDescriptorProto::encode);
        messages(w, 8, &self.oneof_decl, |oneof, w| text(w, 1, oneof.name.as_ref()));
    }
}

impl FieldDescriptorProto {
    fn encode(&self, w: &mut Writer<'_>) {
        text(w, 1, self.name.as_ref());
        number(w, 3, self.number);
        number(w, 4, self.label);
        number(w, 5, self.r#type);
        text(w, 6, self.type_name.as_ref());
        number(w, 9, self.oneof_index);
        text(w, 10, self.json_name.as_ref());
        number(w, 17, self.proto3_optional.map(i32::from));
    }
}

impl EnumDescriptorProto {
    fn encode(&self, w: &mut Writer<'_>) {
        text(w, 1, self.name.as_ref());
        messages(w, 2, &self.value, |value, w| {
            text(w, 1, value.name.as_ref());
            number(w, 2, value.number);
        });
    }
}

fn text(w: &mut Writer<'_>, field: u32, value: Option<&String>) {
    if let Some(value) = value {
        w.bytes(field, value.as_bytes());
    }
}

fn number(w: &mut Writer<'_>, field: u32, value: Option<i32>) {
    if let Some(value) = value {
        // Negative ones are written with all 64 bits.
        w.uint(field, i64::from(value) as u64);
    }
}

fn messages<T>(w: &mut Writer<'_>, field: u32, all: &[T], encode: impl Fn(&T, &mut Writer<'_>)) {
    for one in all {
        let mut bytes = Vec::new();
        encode(one, &mut Writer(&mut bytes));
        w.bytes(field, &bytes);
    }
}
