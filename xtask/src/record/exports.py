"""Compares the arrays of a stream with its table.

usage: exports.py CSV NPZ NPY STREAM
"""
import csv
import sys

import numpy as np

table, npz, npy, name = sys.argv[1:]
with open(table, newline="") as f:
    head, *rows = csv.reader(f)
arrays = np.load(npz)
assert set(arrays.files) == {"frame_id", "time_ns", "sim_time", name}, arrays.files
data = arrays[name]
assert np.array_equal(data.view(np.uint8), np.load(npy).view(np.uint8)), "the two arrays differ"
frames = len(arrays["frame_id"])
components = len(head) - 4
elements = len(rows) // frames
assert data.size == frames * elements * components, (data.shape, len(rows))
flat = data.reshape(frames * elements, components)
for at, row in enumerate(rows):
    frame = at // elements
    assert int(row[0]) == arrays["frame_id"][frame] and int(row[1]) == arrays["time_ns"][frame], row
    assert float(row[2]) == arrays["sim_time"][frame] and int(row[3]) == at % elements, row
    for text, value in zip(row[4:], flat[at]):
        if name == "bf16":
            value = (np.uint32(value) << np.uint32(16)).view(np.float32)
        if value.dtype == np.bool_:
            same = text in ("true", "false") and (text == "true") == value or text.isdigit()
        elif value.dtype.kind == "f":
            expected = value.dtype.type(text)
            same = expected == value or (expected != expected and value != value)
        else:
            same = int(text) == value
        assert same, f"row {at}: {text} is not {value}"
