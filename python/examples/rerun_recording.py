"""Shows a recording in Rerun with its images, points and plots: python rerun_recording.py FILE.mcap [FILE.rrd].

With the packages rerun-sdk, mcap and protobuf.
"""

import sys
from pathlib import Path

import rerun as rr
import rerun.blueprint as rrb
from google.protobuf.descriptor_pb2 import FileDescriptorSet
from mcap.reader import make_reader
from rerun.blueprint.encodings import ComponentSourceKind, VisualizerComponentMapping

file, *target = map(Path, sys.argv[1:])
with file.open("rb") as stream:
    summary = make_reader(stream).get_summary()
schema_of = {c.topic: summary.schemas[c.schema_id] for c in summary.channels.values()}


def plot(topic: str) -> rrb.TimeSeriesView:
    """The single numbers of a region."""
    schema = schema_of[topic]
    fields = FileDescriptorSet.FromString(schema.data).file[-1].message_type[-1].field
    single = [f.name for f in fields if f.label != f.LABEL_REPEATED and f.name not in ("frame_id", "sim_time")]

    def line(name: str) -> rrb.Visualizer:
        source = VisualizerComponentMapping(
            target="Scalars:scalars",
            source_kind=ComponentSourceKind.SourceComponent,
            source_component=f"{schema.name}:message",
            selector=f".{name}",
        )
        return rr.SeriesLines(names=[name]).visualizer(mappings=[source])

    return rrb.TimeSeriesView(name=topic, origin=topic, overrides={topic: [line(name) for name in single]})


images = [t for t, s in schema_of.items() if s.name in ("foxglove.RawImage", "foxglove.CompressedImage")]
space = [t for t, s in schema_of.items() if s.name in ("foxglove.PointCloud", "foxglove.PosesInFrame")]
views = [rrb.Spatial2DView(name=t, origin=t) for t in images]
views += [rrb.Spatial3DView(name="space", contents=space)] if space else []
views += [plot(t) for t, s in schema_of.items() if s.name.startswith("shmx.Values_")]
layout = rrb.Blueprint(rrb.Grid(*views), collapse_panels=True)
rr.init(file.stem, spawn=not target, default_blueprint=layout)
if target:
    rr.save(target[0], default_blueprint=layout)
rr.log_file_from_path(file)
