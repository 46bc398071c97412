"""A camera that is read out line by line, and a viewer that draws each line before the frame is published.

``slow_camera.py [--name NAME] [--frames N]``
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import time

import numpy as np

import pyshmx

HEIGHT, WIDTH = 24, 64
STREAMS = {"number": "u64", "image": pyshmx.image(HEIGHT, WIDTH, "mono8")}


def camera(name: str, frames: int) -> None:
    """Hands out each line as the sensor gives it."""
    with pyshmx.Publisher(name, STREAMS) as pub:
        while not any(reader.in_use for reader in pub.readers):
            pub.messages(wait=1)  # also returns when a reader comes
        for number in range(frames):
            with pub.frame() as f:
                f["number"] = number
                fill = f.fill("image")
                for y in range(HEIGHT):
                    read_out(number, y, fill.rest[0])
                    fill.commit(1)  # whoever follows has the line now


def read_out(number: int, y: int, line: np.ndarray) -> None:
    """What a sensor would do: a bright spot that moves."""
    time.sleep(0.002)
    x = np.arange(WIDTH)
    line[:] = np.clip(255 - 16 * (abs(x - number * 3 % WIDTH) + 2 * abs(y - number * 2 % HEIGHT)), 0, 255)


def viewer(name: str) -> None:
    """Draws lines as they come. The brightness is a result, so it is shown only where there is a frame."""
    with pyshmx.Reader(name, wait=10) as cam:
        for growing in cam.following(every=True):
            with growing:
                brightness = 0
                try:
                    for lines in growing.parts("image", timeout=10):
                        brightness += int(lines.sum())
                        for line in lines:
                            print("".join(" .:-=+*#%@"[p * 9 // 255] for p in line.tolist()))
                    with growing.finish(timeout=10) as frame:
                        print(f"frame {frame['number']}, brightness {brightness}")
                except pyshmx.FrameVoid as e:
                    print(f"no frame: {e.reason}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--name", default=f"slow-camera-{os.getpid()}")
    parser.add_argument("--frames", type=int, default=5)
    arguments = parser.parse_args()
    process = multiprocessing.get_context("spawn").Process(target=camera, args=(arguments.name, arguments.frames))
    process.start()
    viewer(arguments.name)
    process.join()


if __name__ == "__main__":
    main()
