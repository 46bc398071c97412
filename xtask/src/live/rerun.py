"""Draws files in Rerun's viewer without a screen, and says whether the made-up robot's ball is to be seen."""

import os
import socket
import subprocess
import sys
from pathlib import Path

from PIL import Image

PATIENCE = 180

picture, *files = sys.argv[1:]
rerun = Path(sys.executable).with_name("rerun")
# A folder of its own, in which the viewer is told to send nothing to anybody.
environment = os.environ | {"HOME": str(Path(picture).parent)}
subprocess.run([rerun, "analytics", "disable"], env=environment, check=True, capture_output=True)
with socket.socket() as free:
    free.bind(("127.0.0.1", 0))
    port = free.getsockname()[1]
read, write = os.pipe()
screen = subprocess.Popen(
    ["Xvfb", "-displayfd", str(write), "-screen", "0", "1440x900x24", "-nolisten", "tcp"],
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
pixels = list(image.get_flattened_data() if hasattr(image, "get_flattened_data") else image.getdata())
ball = sum(r > 150 and 40 < g < 130 and b < 100 and r - g > 70 for r, g, b in pixels)
print(f"{image.width}x{image.height}, {len(set(pixels))} colours, {ball} pixels of the ball")
if ball < 200 or len(set(pixels)) < 1000:
    sys.exit("the image is not to be seen")
