"""What a machine offers a run, what is missing, and what to do about it."""

import importlib.util
import os
import platform
import shutil
import urllib.error
import urllib.parse
import urllib.request
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Literal

from shards import ReadingConfig, open_corpus

PACKAGES = (
    "torch",
    "torchvision",
    "accelerate",
    "deepspeed",
    "segment-anything",
    "webdataset",
    "fsspec",
    "s3fs",
    "omegaconf",
    "mlflow",
    "onnxruntime",
)
GIBIBYTE = 1024**3
FREE_SPACE_WANTED = 10 * GIBIBYTE
SERVER_TIMEOUT_SECONDS = 5
STORE_TIMEOUT_SECONDS = 10.0
"""Less than a run's patience: somebody waits for the answer."""
ROOM_FOR_THE_REST = 0.2
"""Share of the memory that an estimate should leave to fragmentation, libraries and loaders."""


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One thing that was looked at."""

    topic: str
    state: Literal["ok", "note", "wrong"]
    found: str

    remedy: str = ""
    """What to do; empty where nothing needs doing."""


def diagnose_machine(folder: Path) -> list[Finding]:
    """Look at versions, processor, memory, disk, devices and engines; nothing is started."""
    return [
        *_packages(),
        _processor(),
        _memory(),
        _disk(folder),
        *_devices(),
        *_engines(),
    ]


def diagnose_data(url: str) -> Finding:
    """Open a corpus as a run would: manifest, format version, shards and their sizes."""
    try:
        patience = ReadingConfig(
            request_seconds=STORE_TIMEOUT_SECONDS, deadline_seconds=2 * STORE_TIMEOUT_SECONDS
        )
        corpus = open_corpus(url, reading=patience)
    except (ValueError, OSError) as error:
        return Finding(topic="data", state="wrong", found=str(error), remedy="mend `data`")
    manifest = corpus.manifest
    found = f"{url}: {manifest.num_samples} samples, {manifest.num_objects} objects"
    return Finding(topic="data", state="ok", found=found)


def diagnose_tracking(uri: str) -> Finding:
    """Ask an MLflow server for its health, or look whether a database can be written."""
    if uri.startswith(("http://", "https://")):
        return _tracking_server(uri)
    if not uri.startswith("sqlite:///"):
        remedy = "give sqlite:///PATH, or the http:// address of a server"
        return Finding(topic="MLflow", state="note", found=f"{uri} is not checked", remedy=remedy)
    path = Path(uri.removeprefix("sqlite:///")).absolute()
    folder = next(parent for parent in path.parents if parent.exists())
    if not os.access(path if path.exists() else folder, os.W_OK):
        remedy = "choose a path that this user may write"
        return Finding(
            topic="MLflow", state="wrong", found=f"{path} cannot be written", remedy=remedy
        )
    return Finding(topic="MLflow", state="ok", found=f"{path} can be written")


def diagnose_estimate(needed_bytes: int, *, what: str) -> Finding:
    """Hold what a process of a run needs against the memory of the GPU, or of the machine.

    Args:
        needed_bytes: Of one process.
        what: Says what was estimated.
    """
    place, there_bytes = _memory_of_a_run()
    found = f"{what}; {place} has {there_bytes / GIBIBYTE:.2f} GiB"
    remedy = (
        "a smaller micro_batch_size (in a run data.micro_batch_size, with the same result), "
        "activation_checkpointing=true, or a smaller preset"
    )
    if needed_bytes > there_bytes:
        return Finding(topic="memory estimate", state="wrong", found=found, remedy=remedy)
    if needed_bytes > (1 - ROOM_FOR_THE_REST) * there_bytes:
        remedy = f"tight, as libraries and loaders come on top: {remedy}"
        return Finding(topic="memory estimate", state="note", found=found, remedy=remedy)
    return Finding(topic="memory estimate", state="ok", found=found)


def _memory_of_a_run() -> tuple[str, int]:
    """Return where a run would compute, and the bytes that it would find there."""
    import psutil
    import torch

    if torch.cuda.is_available():
        device = torch.cuda.get_device_properties(0)
        return device.name, device.total_memory
    return "free memory", psutil.virtual_memory().available


def _tracking_server(uri: str) -> Finding:
    address = urllib.parse.urljoin(uri.rstrip("/") + "/", "health")
    try:
        with urllib.request.urlopen(address, timeout=SERVER_TIMEOUT_SECONDS) as answer:
            return Finding(topic="MLflow", state="ok", found=f"{uri} answers {answer.status}")
    except (urllib.error.URLError, TimeoutError, ValueError) as error:
        remedy = "start it (`mlflow server`), or mend the address; training goes on without it"
        return Finding(topic="MLflow", state="wrong", found=f"{uri}: {error}", remedy=remedy)


def _packages() -> list[Finding]:
    findings = []
    for name in PACKAGES:
        try:
            findings.append(Finding(topic=name, state="ok", found=version(name)))
        except PackageNotFoundError:
            remedy = "run `make quickstart`, or pip install --editable ."
            findings.append(
                Finding(topic=name, state="wrong", found="not installed", remedy=remedy)
            )
    return findings


def _processor() -> Finding:
    import torch

    cores = os.cpu_count() or 1
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else cores
    found = f"{platform.machine()}, {usable} of {cores} cores, {torch.get_num_threads()} threads"
    asked = os.environ.get("OMP_NUM_THREADS")
    if asked is not None and asked != str(usable):
        found = f"{found} (OMP_NUM_THREADS={asked})"
        remedy = "a run takes all cores all the same; run.threads=N is what limits it"
        return Finding(topic="processor", state="note", found=found, remedy=remedy)
    return Finding(topic="processor", state="ok", found=found)


def _memory() -> Finding:
    import psutil

    memory = psutil.virtual_memory()
    found = f"{memory.available / GIBIBYTE:.1f} of {memory.total / GIBIBYTE:.1f} GiB free"
    return Finding(topic="memory", state="ok", found=found)


def _disk(folder: Path) -> Finding:
    if not folder.is_dir():
        remedy = "create it, or name another `folder`"
        return Finding(topic="disk", state="wrong", found=f"{folder} is no folder", remedy=remedy)
    if not os.access(folder, os.W_OK):
        remedy = "choose a `folder` that this user may write"
        return Finding(topic="disk", state="wrong", found=f"{folder} is read-only", remedy=remedy)
    free = shutil.disk_usage(folder).free
    found = f"{free / GIBIBYTE:.0f} GiB free in {folder.absolute()}"
    if free < FREE_SPACE_WANTED:
        remedy = "checkpoints of SAMUS ViT-B take about 0.5 GB each, twice that while saving"
        return Finding(topic="disk", state="note", found=found, remedy=remedy)
    return Finding(topic="disk", state="ok", found=found)


def _devices() -> list[Finding]:
    import torch

    if not torch.cuda.is_available():
        remedy = "the CPU trains the tiny and small presets; the published sizes want a GPU"
        return [Finding(topic="GPU", state="note", found="none", remedy=remedy)]
    findings = []
    for index in range(torch.cuda.device_count()):
        device = torch.cuda.get_device_properties(index)
        bfloat16 = "with" if torch.cuda.is_bf16_supported() else "without"
        found = f"{device.name}, {device.total_memory / GIBIBYTE:.0f} GiB, {bfloat16} bfloat16"
        findings.append(Finding(topic=f"GPU {index}", state="ok", found=found))
    return findings


def _engines() -> list[Finding]:
    from torch import distributed

    backends = [
        name
        for name, available in {
            "gloo": distributed.is_gloo_available(),
            "nccl": distributed.is_nccl_available(),
        }.items()
        if available
    ]
    engines = Finding(topic="DDP", state="ok", found=f"over {' and '.join(backends)}")
    if importlib.util.find_spec("deepspeed"):
        return [engines, Finding(topic="DeepSpeed", state="ok", found="installed")]
    remedy = "ZeRO needs it: pip install deepspeed"
    return [
        engines,
        Finding(topic="DeepSpeed", state="note", found="not installed", remedy=remedy),
    ]
