"""OpenCV writes into frames and reads out of them."""

from __future__ import annotations

import numpy as np
import pytest

import pyshmx

cv2 = pytest.importorskip("cv2", reason="opencv is not installed")

WRITER = """
import sys, cv2, numpy as np, pyshmx
streams = {"image": pyshmx.image(120, 160, "bgr8"), "jpeg": pyshmx.image(0, 0, "jpeg", max=100_000)}
with pyshmx.Publisher(sys.argv[1], streams) as pub:
    picture = np.zeros((120, 160, 3), np.uint8)
    cv2.circle(picture, (40, 60), 20, (10, 200, 30), -1)
    print("up")
    input()
    with pub.frame() as f:
        cv2.flip(picture, 1, dst=f["image"])
        f["jpeg"] = cv2.imencode(".jpg", picture)[1]
    input()
"""


def test_opencv_in_two_processes(name, spawn):
    process = spawn(WRITER, name)
    assert process.line() == "up"
    with pyshmx.Reader(name) as cam:
        process.tell("go")
        with cam.wait(60) as frame:
            expected = np.zeros((120, 160, 3), np.uint8)
            cv2.circle(expected, (40, 60), 20, (10, 200, 30), -1)
            assert np.array_equal(cv2.flip(frame["image"], 1), expected)
            decoded = cv2.imdecode(frame["jpeg"], cv2.IMREAD_COLOR)
            assert decoded.shape == (120, 160, 3)
            assert abs(int(decoded[60, 40, 1]) - 200) < 20
            with pytest.raises(cv2.error):
                # Drawing needs a copy: the frame is read-only.
                cv2.circle(frame["image"], (40, 60), 20, (0, 0, 0), -1)
            drawn = frame["image"].copy()
            cv2.circle(drawn, (40, 60), 20, (0, 0, 0), -1)
    process.tell("end")
    assert process.end() == 0
