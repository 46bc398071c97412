"""Images between Python processes: a camera, a viewer that wants the newest, a logger that wants every frame.

    python images.py            # until the camera is done
    python images.py --kill     # and kills the viewer and the camera on the way: nothing hangs, nothing is left

The camera writes into shared memory, the others read there; no image is copied or pickled on the way.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import time

import numpy as np

import pyshmx

STREAMS = {"image": pyshmx.image(480, 640, "bgr8"), "number": "u64"}


def camera(name: str, frames: int) -> None:
    """Publishes an image every 10 ms."""
    with pyshmx.Publisher(name, STREAMS, slots=16) as pub:
        while pub.readers_connected < 2:  # a real camera would not wait
            time.sleep(0.001)
        for number in range(frames):
            with pub.frame(time=number / 100) as f:
                f["image"][:] = number % 256
                f["number"] = number
            for message in pub.messages():
                print(f"camera: {message.data.decode()}", flush=True)
            time.sleep(0.01)


def viewer(name: str) -> None:
    """Takes the newest image each time; slow, and no harm done."""
    shown = 0
    with pyshmx.Reader(name, wait=10, reconnect=False) as cam:
        for frame in cam:
            with frame:
                image = frame["image"]  # an array where the camera wrote it
                assert (image == frame["number"] % 256).all()
                del image  # before the end of the block: it is not valid any longer
            shown += 1
            if shown == 3:
                cam.send(pyshmx.USER_MESSAGE, b"the viewer has seen three images")
            time.sleep(0.03)
        print(f"viewer: {shown} images, {cam.stats.missed} passed over; the camera {ended(cam)}", flush=True)


def logger(name: str) -> None:
    """Takes every frame, and keeps a thumbnail."""
    kept: list[np.ndarray] = []
    with pyshmx.Reader(name, wait=10) as cam:
        for frame in cam.every():
            with frame:
                kept.append(frame["image"][::80, ::80].copy())
        print(f"logger: {len(kept)} images, {cam.stats.missed} missed; the camera {ended(cam)}", flush=True)


def ended(cam: pyshmx.Reader) -> str:
    return {"closed": "has left", "died": "was killed"}.get(cam.server_end or "", "is there")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--name", default=f"images-{os.getpid()}")
    parser.add_argument("--frames", type=int, default=100)
    parser.add_argument("--kill", action="store_true")
    given = parser.parse_args()
    context = multiprocessing.get_context("spawn")
    running = {
        "camera": context.Process(target=camera, args=(given.name, given.frames)),
        "viewer": context.Process(target=viewer, args=(given.name,)),
        "logger": context.Process(target=logger, args=(given.name,)),
    }
    for process in running.values():
        process.start()
    if given.kill:
        with pyshmx.Reader(given.name, wait=30) as watch:
            while watch.next(30).id < given.frames // 3:
                pass
            running["viewer"].kill()
            print("killed the viewer", flush=True)
            while watch.next(30).id < given.frames * 2 // 3:
                pass
            running["camera"].kill()
            print("killed the camera", flush=True)
    for process in running.values():
        process.join(60)
    if given.kill:
        # A camera that starts again would take the name; this tidies up without one.
        pyshmx.remove(given.name)
    left = [region.name for region in pyshmx.list() if region.name == given.name]
    print(f"left behind: {left}", flush=True)


if __name__ == "__main__":
    main()
