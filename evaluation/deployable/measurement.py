"""Latency and memory of a deployable, measured in a process that holds nothing else.

The memory is the process's. What a form takes on a GPU is not read.
"""

import json
import platform
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

IMAGE_SIDE_PIXELS = 512
"""The measured image; the model's own input size decides most of the time."""

CARD_THREADS = (1, 2)
"""Threads of the measurements on a model card."""

NUM_REPEATS = 30
"""Calls after the first, or as many as `REPEATS_SECONDS` allows, but at least 5."""

REPEATS_SECONDS = 20

BATCH_SIZE = 4
"""Images that the throughput is measured with at once."""

TIME_LIMIT_SECONDS = 1800.0

_SCRIPT = """
import json, resource, sys, time
folder, form = sys.argv[1:3]
side, num_repeats, num_seconds, batch_size, num_threads = map(int, sys.argv[3:8])
sys.path.insert(0, folder)
start = time.perf_counter()
import numpy as np
from predict import Prompt, Segmenter, frame_image
segmenter = Segmenter(folder, form=form, num_threads=num_threads)
opening = time.perf_counter() - start
is_automatic = segmenter.preprocessing["kind"] == "automatic"
kinds = segmenter.preprocessing["prompt_kinds"]
pixels = np.random.default_rng(0).integers(0, 256, (side, side), dtype=np.uint8)
box = (side / 4, side / 4, side * 3 / 4, side * 3 / 4)
prompt = Prompt(points=[(side / 2, side / 2)]) if "points" in kinds else Prompt(box=box)
def call():
    start = time.perf_counter()
    if is_automatic:
        segmenter.find(pixels)
        return time.perf_counter() - start, 0.0
    features = segmenter.encode(pixels)
    encoded = time.perf_counter()
    questions = segmenter.frame_prompts([prompt], (side, side))
    segmenter.decode(features, questions, (side, side))
    return encoded - start, time.perf_counter() - encoded
first, begin, later = call(), time.perf_counter(), []
while len(later) < 5 or len(later) < num_repeats and time.perf_counter() - begin < num_seconds:
    later.append(call())
try:
    with open("/proc/self/status") as status:
        peak = next(int(line.split()[1]) for line in status if line.startswith("VmHWM")) * 1024
except (OSError, StopIteration):
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    peak *= 1 if sys.platform == "darwin" else 1024
seconds = np.array(later)
graph = segmenter._graph("automatic" if is_automatic else "encoder")
batch = np.stack([frame_image(pixels, segmenter.preprocessing)] * batch_size)
graph.run(None, {"images": batch})
begin, num_batches = time.perf_counter(), 0
while num_batches < 2 or num_batches < 5 and time.perf_counter() - begin < num_seconds:
    graph.run(None, {"images": batch})
    num_batches += 1
print(json.dumps({
    "opening_seconds": opening,
    "first_call_seconds": sum(first),
    "median_seconds": float(np.median(seconds.sum(axis=1))),
    "slow_seconds": float(np.percentile(seconds.sum(axis=1), 95)),
    "decoding_seconds": float(np.median(seconds[:, 1])),
    "images_per_second": num_batches * batch_size / (time.perf_counter() - begin),
    "peak_memory_bytes": peak,
}))
"""
# The kernel's VmHWM begins anew with the program, while ru_maxrss still holds what the parent used.


@dataclass(frozen=True, kw_only=True)
class Measurement:
    """What a prediction costs on one machine: one image, and a click where the model takes any."""

    opening_seconds: float
    """Imports, checksums and opening of the graphs."""

    first_call_seconds: float
    median_seconds: float
    """Of the calls after the first."""

    slow_seconds: float
    """The 95th percentile of them."""

    decoding_seconds: float
    """Median of what a further click costs; 0 for a model without prompts."""

    images_per_second: float
    """Encoded, or segmented without prompts, in batches of `BATCH_SIZE`."""

    peak_memory_bytes: int
    """Of the process, with one image at a time; nothing that lies on a GPU is counted."""

    num_threads: int


def measure_deployable(folder: Path, *, form: str, num_threads: int) -> Measurement:
    """Return what the folder's own `predict.py` costs.

    Raises:
        RuntimeError: The folder does not run by itself; the message has its last words.
    """
    sizes = (IMAGE_SIDE_PIXELS, NUM_REPEATS, REPEATS_SECONDS, BATCH_SIZE, num_threads)
    # Without bytecode, which would be one more file in the folder.
    command = [sys.executable, "-BP", "-c", _SCRIPT, str(folder.resolve()), form, *map(str, sizes)]
    answer = subprocess.run(
        command, capture_output=True, text=True, timeout=TIME_LIMIT_SECONDS, check=False
    )
    if answer.returncode != 0:
        last_words = answer.stderr.strip().splitlines()[-1:] or ["no message"]
        raise RuntimeError(f"{folder / 'predict.py'} fails when it runs by itself: {last_words[0]}")
    return Measurement(**json.loads(answer.stdout), num_threads=num_threads)


def processor_name() -> str:
    """Return what this machine's processor calls itself, else what kind it is."""
    facts = Path("/proc/cpuinfo")
    for line in facts.read_text(encoding="utf-8").splitlines() if facts.is_file() else ():
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()
