"""Streams a region into Rerun, live: python rerun_live.py REGION [FILE.rrd], with the package rerun-sdk."""

import contextlib
import sys

import numpy as np
import rerun as rr

import pyshmx

MODELS = {"rgb8": "RGB", "bgr8": "BGR", "rgba8": "RGBA", "bgra8": "BGRA", "mono8": "L"}
name, *file = sys.argv[1:]
rr.init(name, spawn=not file)
if file:
    rr.save(file[0])
with pyshmx.tap(name, start="newest") as tap, contextlib.suppress(pyshmx.ServerGone):
    while True:
        frame = tap.wait()  # the newest, and none that the viewer is too slow for
        rr.set_time("frame", sequence=frame.id)
        for key, stream in tap.streams.items():
            data = np.asarray(frame[key])
            if stream.role == "image":
                model = MODELS.get(stream.encoding or "")
                rr.log(key, rr.Image(data, model) if model else rr.DepthImage(data))
            elif stream.role in ("points", "pose"):
                rr.log(key, rr.Points3D(data[:, :3]))
            elif data.size <= 8:
                rr.log(key, rr.Scalars(data.ravel()))
