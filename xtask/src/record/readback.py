"""Reads a recording with the packages that MCAP users have, and compares it with the bytes that were published; then
cuts the file at every kind of place, on purpose, and looks what is left of it for such a reader.

usage: readback.py FILE NAME DATA FRAMES STREAM...    where STREAM is id:name:type:components:count[:WxH]
"""
import io
import struct
import sys
import zlib

import zstandard
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


# Streams with more bytes than this in a frame have messages of their own.
SMALL = 1024


def has_points(stream):
    return stream[3] == 3 and stream[2] in ("f32", "f64")


def described(descriptor):
    """The fields, but for the one that we add for the rest of a frame."""
    return sorted((f.name, f.number, f.type, f.is_repeated) for f in descriptor.fields if f.number != 1000)


def payload(streams, raw):
    out = b""
    for ident, _, _, _, count, size, start, _ in streams:
        data = raw[start:start + size]
        out += struct.pack("<IIIIII", 0x2000, 16 + size, ident, count, size, 0) + data
        out += bytes(-len(out) % 16)
    return out


def compare(path, name, streams, raws):
    """Every message against the published bytes; the count of messages, and of numbers in them."""
    frames = len(raws)
    seen, events = {}, []
    values = 0
    # The largest image or cloud has the rest of its frame in its message.
    carrier = max((s for s in streams if s[7] or has_points(s)), key=lambda s: s[5])
    with open(path, "rb") as f:
        reader = make_reader(f, validate_crcs=True, decoder_factories=[DecoderFactory()])
        for schema, channel, message, decoded in reader.iter_decoded_messages():
            if channel.topic == f"/{name}/shmx.lifecycle":
                assert schema.name == "shmx.Lifecycle", schema.name
                events.append({f.key: f.value for f in decoded.facts}["event"])
                continue
            k = seen[channel.topic] = seen.get(channel.topic, 0) + 1
            raw = raws[k - 1]
            if channel.topic == f"/{name}/values":
                assert schema.name.startswith("shmx.Values_" + name.replace("-", "_")), schema.name
                assert decoded.frame_id == k
                for _, stream, ty, components, count, size, start, image in streams:
                    if image or size > SMALL:
                        assert not (hasattr(decoded, stream) and len(getattr(decoded, stream))), stream
                        continue
                    got = getattr(decoded, stream)
                    got = [got] if components * count == 1 else list(got)
                    assert same(got, numbers(ty, raw[start:start + size])), (stream, k)
                    values += len(got)
                continue
            stream = channel.topic.split("/")[2]
            points = channel.topic.endswith("/points")
            _, _, ty, components, count, size, start, image = next(s for s in streams if s[1] == stream)
            part = raw[start:start + size]
            if stream == carrier[1] and (image or points):
                frame = decoded.shmx
                assert frame.frame_id == k and frame.tlv_count == len(streams), frame.frame_id
                at, data = frame.data_at, {6: decoded.data}[frame.data_field]
                whole = frame.payload[:at] + data + frame.payload[at:]
                assert whole == payload(streams, raw), f"payload of frame {k}"
                assert frame.checksum == fnv32(whole)
                assert frame.HasField("publish_ticks")
            elif image or points:
                assert not decoded.HasField("shmx"), "a frame is carried once"
            if image:
                assert schema.name == "foxglove.RawImage"
                w, h = (int(v) for v in image[0].split("x"))
                assert (decoded.width, decoded.height, decoded.step, decoded.encoding) == (w, h, 3 * w, "rgb8")
                assert decoded.data == part
                assert described(decoded.DESCRIPTOR) == described(RawImage_pb2.RawImage.DESCRIPTOR)
                stamp = decoded.timestamp.seconds * 10**9 + decoded.timestamp.nanos
                assert stamp == message.publish_time <= message.log_time
            elif points:
                assert schema.name == "foxglove.PointCloud" and decoded.data == part
                assert decoded.point_stride == len(part) // count
                assert [f.name for f in decoded.fields] == ["x", "y", "z"]
                theirs = PointCloud_pb2.PointCloud.DESCRIPTOR
                assert described(decoded.DESCRIPTOR) == described(theirs)
                for nested in ("pose", "fields"):
                    ours = decoded.DESCRIPTOR.fields_by_name[nested].message_type
                    assert described(ours) == described(theirs.fields_by_name[nested].message_type), nested
            else:
                assert decoded.frame_id == k and decoded.components == components
                assert same(list(decoded.values), numbers(ty, part)), (channel.topic, k)
                values += len(decoded.values)
    topics = [f"/{name}/values"] + [f"/{name}/{s[1]}" for s in streams if s[7] or s[5] > SMALL]
    topics += [f"/{name}/{s[1]}/points" for s in streams if has_points(s)]
    assert seen == {t: frames for t in topics}, seen
    assert events == ["begin", "end"], events
    with open(path, "rb") as f:
        summary = make_reader(f).get_summary()
        assert summary.statistics.message_count == frames * len(topics) + len(events)
    return frames * len(topics), values


MAGIC = b"\x89MCAP0\r\n"
DATA_END, FOOTER, CHUNK = 0x0F, 0x02, 0x06

# The fields of each kind of record: numbers by their size, `t` a text or bytes behind a length of 4 bytes, `T` behind
# one of 8, and `(...)` a list of such fields behind its length in bytes.
FIELDS = {
    0x01: ("header", "tt"),
    0x02: ("footer", "884"),
    0x03: ("schema", "2ttt"),
    0x04: ("channel", "22tt(tt)"),
    0x06: ("chunk", "8884tT"),
    0x07: ("message index", "2(88)"),
    0x08: ("chunk index", "8888(28)8t88"),
    0x0B: ("statistics", "8244448" "8(28)"),
    0x0C: ("metadata", "t(tt)"),
    0x0D: ("metadata index", "88t"),
    0x0E: ("summary offset", "188"),
    0x0F: ("data end", "4"),
}


def records(data):
    """The records between the magics, as (opcode, start, end)."""
    at = len(MAGIC)
    while at < len(data) - len(MAGIC):
        end = at + 9 + struct.unpack_from("<Q", data, at + 1)[0]
        yield data[at], at, end
        at = end
    assert at == len(data) - len(MAGIC), "the records do not end where the magic begins"


def fields(data, form, at):
    """The pieces of a record's content, as (start, end, whether it is a number)."""
    pieces = []
    while form:
        if form[0] == "(":
            close = form.index(")")
            length = struct.unpack_from("<I", data, at)[0]
            pieces.append((at, at + 4, True))
            at += 4
            end = at + length
            while at < end:
                inner = fields(data, form[1:close], at)
                pieces += inner
                at = inner[-1][1]
            form = form[close + 1:]
            continue
        if form[0] in "tT":
            size = 4 if form[0] == "t" else 8
            length = int.from_bytes(data[at:at + size], "little")
            pieces += [(at, at + size, True), (at + size, at + size + length, False)]
        else:
            pieces.append((at, at + int(form[0]), True))
        at = pieces[-1][1]
        form = form[1:]
    return pieces


def cuts(data):
    """Every place to cut at: what it is, where, and how the foreign reader must end.

    It asks for one number after another and for texts; a number that is not whole is a `struct.error`, a piece that is
    not there at all an `EndOfFile`. A text that is cut short goes unnoticed, but not that nothing is behind it.
    """
    kinds = {}
    for opcode, start, end in records(data):
        kinds.setdefault(opcode, []).append((start, end))
    assert set(kinds) == set(FIELDS), f"records of other kinds than expected: {sorted(kinds)}"
    end = len(data)
    for what, start in [("first", 0), ("last", end - len(MAGIC))]:
        yield f"before the {what} magic", start, EndOfFile
        for at in (1, len(MAGIC) - 1):
            yield f"in the {what} magic", start + at, struct.error
    for opcode, places in kinds.items():
        name, form = FIELDS[opcode]
        for start, end in dict.fromkeys((places[0], places[-1])):
            pieces = [(start, start + 1, True), (start + 1, start + 9, True)] + fields(data, form, start + 9)
            assert pieces[-1][1] == end, f"the fields of the {name} at {start} do not fill it"
            pieces = [p for p in pieces if p[0] < p[1]]
            for first, last, number in pieces[:16] + pieces[16:][-6:]:
                yield f"in the {name} at {start}, before a field", first, EndOfFile
                for at in sorted({first + 1, (first + last) // 2, last - 1} - {first}):
                    if first < at < last:
                        yield f"in the {name} at {start}, in a field", at, struct.error if number else EndOfFile
            yield f"behind the {name} at {start}", end, EndOfFile


def messages(data):
    """What the foreign reader makes of a file, and the error that it ended with."""
    got = []
    try:
        for _, channel, m in NonSeekingReader(io.BytesIO(data), validate_crcs=True).iter_messages(log_time_order=False):
            got.append((channel.topic, m.sequence, m.log_time, m.publish_time, m.data))
    except Exception as e:  # Which ones may come is judged by the caller.
        return got, type(e)
    return got, None


def judge(what, got, error, whole, count, expected):
    """A reader of a damaged file has every message of the whole chunks in front of the damage, and no other."""
    assert got == whole[:len(got)], f"cut {what}: a message that was not recorded, after {len(got)} read"
    assert len(got) == count, f"cut {what}: {len(got)} messages read, {count} are whole"
    assert error is expected, f"cut {what}: ended with {error}, not with {expected}"


def cut_everywhere(data):
    whole, error = messages(data)
    assert error is None, f"the whole file ends with {error}"
    chunks, counts = [], []
    for opcode, start, end in records(data):
        if opcode == CHUNK:
            chunks.append((start, end))
            counts.append(len(messages(data[:end])[0]))
    assert len(chunks) > 2 and counts == sorted(set(counts)) and counts[-1] == len(whole), "chunks without messages"
    tried = 0
    for what, at, expected in cuts(data):
        count = max([n for (_, end), n in zip(chunks, counts) if end <= at], default=0)
        judge(f"{what}, {at} bytes left", *messages(data[:at]), whole, count, expected)
        tried += 1
    # The check itself: a chunk that is sound but for one byte of one message must not pass.
    start, end = chunks[len(chunks) // 2]
    count = counts[len(chunks) // 2]
    broken = data[:start] + with_a_wrong_byte(data, start)
    must_fail(lambda: judge("behind a wrong byte", *messages(broken), whole, count, EndOfFile))
    judge("behind the chunk that was changed", *messages(data[:end]), whole, count, EndOfFile)
    return tried, len(chunks)


def with_a_wrong_byte(data, start):
    """The chunk there with its last byte, one of a message, changed: its length and checksum are right."""
    pieces = fields(data, FIELDS[CHUNK][1], start + 9)
    times, size = data[start + 9:start + 25], struct.unpack_from("<Q", data, start + 25)[0]
    first, last, _ = pieces[-1]
    inner = bytearray(zstandard.decompress(data[first:last], size))
    inner[-1] ^= 1
    content = times + struct.pack("<QII", len(inner), zlib.crc32(inner), 0) + struct.pack("<Q", len(inner)) + inner
    return struct.pack("<BQ", CHUNK, len(content)) + content


def must_fail(check):
    try:
        check()
    except AssertionError:
        return
    raise AssertionError("the check does not notice what is wrong")


def main():
    path, name, data_path, frames = sys.argv[1:5]
    frames = int(frames)
    streams, at = [], 0
    for spec in sys.argv[5:]:
        ident, stream, ty, components, count, *image = spec.split(":")
        size = SIZES[ty] * int(components) * int(count)
        streams.append((int(ident), stream, ty, int(components), int(count), size, at, image))
        at += size
    data = open(data_path, "rb").read()
    assert len(data) == at * frames
    raws = [data[i * at:(i + 1) * at] for i in range(frames)]
    count, values = compare(path, name, streams, raws)
    # The check itself: other bytes than the published ones must not pass, wherever the difference is.
    for frame, byte in [(0, 0), (frames // 2, at // 2), (frames - 1, at - 1)]:
        wrong = list(raws)
        wrong[frame] = bytes(b ^ (i == byte) for i, b in enumerate(raws[frame]))
        must_fail(lambda: compare(path, name, streams, wrong))
    tried, chunks = cut_everywhere(open(path, "rb").read())
    print(f"{count} messages and {values} numbers right; cut at {tried} places around {chunks} chunks, and what was "
          "whole was read each time")


main()
