"""Reads a recording with the packages that MCAP users have, and compares it with the bytes that were published.

usage: readback.py FILE CUT NAME DATA FRAMES STREAM...    where STREAM is id:name:type:components:count[:WxH]
"""
import struct
import sys

from foxglove_schemas_protobuf import PointCloud_pb2, RawImage_pb2
from mcap.exceptions import EndOfFile
from mcap.reader import NonSeekingReader, make_reader
from mcap_protobuf.decoder import DecoderFactory

FORMATS = {"bool": "?", "i8": "b", "u8": "B", "i16": "h", "u16": "H", "i32": "i", "u32": "I", "i64": "q", "u64": "Q",
           "f16": "e", "f32": "f", "f64": "d"}
SIZES = {"bool": 1, "i8": 1, "u8": 1, "i16": 2, "u16": 2, "bf16": 2, "f16": 2, "i32": 4, "u32": 4, "f32": 4, "i64": 8,
         "u64": 8, "f64": 8}


def numbers(ty, raw):
    n = len(raw) // SIZES[ty]
    if ty == "bf16":
        return [struct.unpack("<f", b"\0\0" + raw[2 * i:2 * i + 2])[0] for i in range(n)]
    if ty == "bool":
        return [b != 0 for b in raw]
    return list(struct.unpack(f"<{n}{FORMATS[ty]}", raw))


def same(a, b):
    return len(a) == len(b) and all(x == y or (x != x and y != y) for x, y in zip(a, b))


def fnv32(data):
    h = 1469598103934665603
    for byte in data:
        h = ((h ^ byte) * 1099511628211) & 0xFFFFFFFFFFFFFFFF
    return (h >> 32) ^ (h & 0xFFFFFFFF)


def fields(descriptor):
    return sorted((f.name, f.number, f.type, f.is_repeated) for f in descriptor.fields)


def payload(streams, raw):
    out = b""
    for ident, _, _, _, count, size, start, _ in streams:
        data = raw[start:start + size]
        out += struct.pack("<IIIIII", 0x2000, 16 + size, ident, count, size, 0) + data
        out += bytes(-len(out) % 16)
    return out


def main():
    path, cut, name, data_path, frames = sys.argv[1:6]
    frames = int(frames)
    streams, at = [], 0
    for spec in sys.argv[6:]:
        ident, stream, ty, components, count, *image = spec.split(":")
        size = SIZES[ty] * int(components) * int(count)
        streams.append((int(ident), stream, ty, int(components), int(count), size, at, image))
        at += size
    data = open(data_path, "rb").read()
    assert len(data) == at * frames
    raws = [data[i * at:(i + 1) * at] for i in range(frames)]
    seen = {}
    values = 0
    with open(path, "rb") as f:
        reader = make_reader(f, validate_crcs=True, decoder_factories=[DecoderFactory()])
        for schema, channel, message, decoded in reader.iter_decoded_messages():
            k = seen[channel.topic] = seen.get(channel.topic, 0) + 1
            raw = raws[k - 1]
            if channel.topic == f"/{name}":
                assert schema.name == "shmx.Frame", schema.name
                assert decoded.frame_id == k and decoded.tlv_count == len(streams), decoded.frame_id
                assert decoded.payload == payload(streams, raw), f"payload of frame {k}"
                assert decoded.checksum == fnv32(decoded.payload)
                assert decoded.HasField("publish_ticks")
                continue
            stream = channel.topic.split("/")[2]
            points = channel.topic.endswith("/points")
            _, _, ty, components, count, size, start, image = next(s for s in streams if s[1] == stream)
            part = raw[start:start + size]
            if image:
                assert schema.name == "foxglove.RawImage"
                w, h = (int(v) for v in image[0].split("x"))
                assert (decoded.width, decoded.height, decoded.step, decoded.encoding) == (w, h, 3 * w, "rgb8")
                assert decoded.data == part
                assert fields(decoded.DESCRIPTOR) == fields(RawImage_pb2.RawImage.DESCRIPTOR)
                stamp = decoded.timestamp.seconds * 10**9 + decoded.timestamp.nanos
                assert stamp == message.log_time
            elif points:
                assert schema.name == "foxglove.PointCloud" and decoded.data == part
                assert decoded.point_stride == len(part) // count
                assert [f.name for f in decoded.fields] == ["x", "y", "z"]
                theirs = PointCloud_pb2.PointCloud.DESCRIPTOR
                assert fields(decoded.DESCRIPTOR) == fields(theirs)
                for nested in ("pose", "fields"):
                    ours = decoded.DESCRIPTOR.fields_by_name[nested].message_type
                    assert fields(ours) == fields(theirs.fields_by_name[nested].message_type), nested
            else:
                assert decoded.frame_id == k and decoded.components == components
                assert same(list(decoded.values), numbers(ty, part)), (channel.topic, k)
                values += len(decoded.values)
    topics = [f"/{name}"] + [f"/{name}/{s[1]}" for s in streams]
    topics += [f"/{name}/{s[1]}/points" for s in streams if s[3] == 3 and s[2] in ("f32", "f64")]
    assert seen == {t: frames for t in topics}, seen
    with open(path, "rb") as f:
        events = [m.metadata["event"] for m in make_reader(f).iter_metadata() if m.name == "shmx.region"]
        assert events == ["begin", "end"], events
    with open(path, "rb") as f:
        summary = make_reader(f).get_summary()
        assert summary.statistics.message_count == frames * len(topics)
    whole = 0
    with open(cut, "rb") as f:
        try:
            for _ in NonSeekingReader(f).iter_messages(log_time_order=False):
                whole += 1
        except EndOfFile:
            pass
    assert 0 < whole < frames * len(topics), f"{whole} messages in the cut file"
    print(f"{frames * len(topics)} messages and {values} numbers right, {whole} messages of a cut file")


main()
