"""Writes a recording anew with the MCAP package of PyPI, as its users' tools do: other chunks, other channel numbers,
another order, no metadata.

usage: rewrite.py FROM TO ORDER CHUNK    where ORDER is `time`, `channel` or `frames` (only what a replay needs)
"""
import sys

from mcap.reader import NonSeekingReader
from mcap.writer import CompressionType, Writer


def needed(channel):
    topic, region = channel.topic, channel.metadata.get("region", "")
    return topic in (f"/{region}", f"/{region}/shmx.lifecycle") or channel.metadata.get("carries") == "frames"


def main():
    path, out, order, chunk = sys.argv[1:]
    with open(path, "rb") as f:
        messages = list(NonSeekingReader(f, validate_crcs=True).iter_messages(log_time_order=False))
    if order == "time":
        messages.sort(key=lambda m: m[2].log_time)
    elif order == "channel":
        messages.sort(key=lambda m: -m[1].id)
    else:
        messages = [m for m in messages if needed(m[1])]
    with open(out, "wb") as f:
        writer = Writer(f, chunk_size=int(chunk), compression=CompressionType.LZ4)
        writer.start(profile="", library="somebody else")
        # A number that is taken by another.
        writer.register_channel(topic="/other", message_encoding="json", schema_id=0)
        schemas, channels = {}, {}
        for schema, channel, m in messages:
            if schema.id not in schemas:
                schemas[schema.id] = writer.register_schema(schema.name, schema.encoding, schema.data)
            if channel.id not in channels:
                channels[channel.id] = writer.register_channel(
                    channel.topic, channel.message_encoding, schemas[schema.id], channel.metadata)
            writer.add_message(channels[channel.id], m.log_time, m.data, m.publish_time, m.sequence)
        writer.finish()
    print(f"{len(messages)} messages")


main()
