"""Draws files in Rerun's viewer without a screen, and says whether the made-up robot is to be seen as it should."""

import os
import socket
import subprocess
import sys
from pathlib import Path

from PIL import Image

PATIENCE = 180

picture, space, *files = sys.argv[1:]
rerun = Path(sys.executable).with_name("rerun")
# A folder of its own, in which the viewer is told to send nothing to anybody.
environment = os.environ | {"HOME": str(Path(picture).parent)}
subprocess.run([rerun, "analytics", "disable"], env=environment, check=True, capture_output=True)
with socket.socket() as free:
    free.bind(("127.0.0.1", 0))
    port = free.getsockname()[1]
read, write = os.pipe()
screen = subprocess.Popen(
    # So large that the pointer, in its middle, is beside the window.
    ["Xvfb", "-displayfd", str(write), "-screen", "0", "5800x3640x24", "-nolisten", "tcp"],
    pass_fds=[write],
    stderr=subprocess.DEVNULL,
)
os.close(write)
try:
    number = os.fdopen(read).readline().strip()
    if not number:
        sys.exit("Xvfb gives no screen")
    where = ["--bind", "127.0.0.1", "--port", str(port)]
    how = ["--renderer", "vulkan", "--window-size", "1440x900", "--screenshot-to", picture]
    viewer = subprocess.run(
        [rerun, *where, *how, *files],
        env=environment | {"DISPLAY": f":{number}"},
        timeout=PATIENCE,
        capture_output=True,
        text=True,
        check=False,
    )
finally:
    screen.terminate()
    screen.wait()
if not Path(picture).exists():
    sys.exit(f"no picture: {viewer.stderr[-500:]}")
image = Image.open(picture).convert("RGB")

def pixels(of: Image.Image) -> list[tuple[int, int, int]]:
    return list(of.get_flattened_data() if hasattr(of, "get_flattened_data") else of.getdata())


points = None
if space:
    # Where points are drawn, in hundredths: left, top, right, bottom. Nothing there, or no place for it, is dark.
    edges = (float(n) / 100 for n in space.split(","))
    box = tuple(round(n * size) for n, size in zip(edges, image.size * 2, strict=True))
    points = sum(max(rgb) > 100 for rgb in pixels(image.crop(box)))
    image.paste((0, 0, 0), box)
rest = pixels(image)
ball = sum(r > 150 and 40 < g < 130 and b < 100 and r - g > 70 for r, g, b in rest)
print(f"{image.width}x{image.height}, {len(set(rest))} colours, {ball} pixels of the ball, {points} of points")
if ball < 200 or len(set(rest)) < 1000:
    sys.exit("the image is not to be seen")
if points is not None and points < 5000:
    sys.exit("the points are not to be seen")
