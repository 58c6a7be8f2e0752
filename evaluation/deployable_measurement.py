"""Latency and memory of a deployable, measured in a process that holds nothing else."""

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

IMAGE_SIDE_PIXELS = 512
"""The measured image; the model's own input size decides most of the time."""

NUM_REPEATS = 5

TIME_LIMIT_SECONDS = 1800.0

_SCRIPT = """
import json, resource, sys, time
folder, side, num_repeats, num_threads = sys.argv[1], *map(int, sys.argv[2:5])
sys.path.insert(0, folder)
start = time.perf_counter()
import numpy as np
from predict import Prompt, Segmenter
segmenter = Segmenter(folder, num_threads=num_threads or None)
opening = time.perf_counter() - start
pixels = np.random.default_rng(0).integers(0, 256, (side, side), dtype=np.uint8)
points, labels = segmenter.frame_prompts([Prompt(points=[(side / 2, side / 2)])], (side, side))
encoding, decoding = [], []
for _ in range(num_repeats + 1):
    start = time.perf_counter()
    features = segmenter.encode(pixels)
    encoded = time.perf_counter()
    segmenter.decode(features, points=points, labels=labels, original_size=(side, side))
    encoding.append(encoded - start)
    decoding.append(time.perf_counter() - encoded)
try:
    with open("/proc/self/status") as status:
        peak = next(int(line.split()[1]) for line in status if line.startswith("VmHWM")) * 1024
except (OSError, StopIteration):
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    peak *= 1 if sys.platform == "darwin" else 1024
print(json.dumps({
    "opening_seconds": opening,
    "first_call_seconds": encoding[0] + decoding[0],
    "encoding_seconds": float(np.median(encoding[1:])),
    "decoding_seconds": float(np.median(decoding[1:])),
    "peak_memory_bytes": peak,
}))
"""
# The kernel's VmHWM begins anew with the program, while ru_maxrss still holds what the parent used.


@dataclass(frozen=True, kw_only=True)
class Measurement:
    """What a prediction costs on one machine. Latencies are medians after an untimed call."""

    opening_seconds: float
    """Imports, checksums and opening of the graphs."""

    first_call_seconds: float
    encoding_seconds: float
    decoding_seconds: float
    peak_memory_bytes: int
    num_threads: int
    """Threads of a prediction; 0 leaves it to onnxruntime."""


def measure_deployable(folder: Path, *, num_threads: int = 0) -> Measurement:
    """Return what the folder's own `predict.py` costs for one image and one click.

    Raises:
        RuntimeError: The folder does not run by itself; the message has its last words.
    """
    numbers = [str(number) for number in (IMAGE_SIDE_PIXELS, NUM_REPEATS, num_threads)]
    command = [sys.executable, "-P", "-c", _SCRIPT, str(folder.resolve()), *numbers]
    answer = subprocess.run(
        command, capture_output=True, text=True, timeout=TIME_LIMIT_SECONDS, check=False
    )
    if answer.returncode != 0:
        last_words = answer.stderr.strip().splitlines()[-1:] or ["no message"]
        raise RuntimeError(f"{folder / 'predict.py'} fails when it runs by itself: {last_words[0]}")
    return Measurement(**json.loads(answer.stdout), num_threads=num_threads)
