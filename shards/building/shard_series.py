"""The shards of a plan: built where they are missing, kept where they lie already."""

import itertools
import logging
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import NoReturn

from tqdm import tqdm

from shards.build_report import BuildReport
from shards.config import BuildConfig
from shards.shard_writer import PackedSample, write_shards
from shards.storage import Storage, join_url

from .packing import PackedChunk, cut_chunks, packed_in_order
from .plan import BuildPlan, PlannedShard
from .receipts import Receipt, Receipts

MAX_SHOWN_SHARDS = 3
"""Of a slice that is not built; the others are counted."""

_logger = logging.getLogger(__name__)


def read_all(config: BuildConfig, plan: BuildPlan, *, report: BuildReport) -> None:
    """Read the samples of this call for their problems alone, and write nothing."""
    shards = () if config.is_merge else _shards_of_call(config, plan)
    chunks = [chunk for shard in shards for chunk in cut_chunks(shard, config=config)]
    with packed_in_order(chunks, num_workers=config.num_workers) as packed:
        for chunk in packed:
            report.include(chunk.report)


def build_shards(config: BuildConfig, plan: BuildPlan, *, url: str) -> list[Receipt]:
    """Return what came of each shard of this call; those that lie at `url` already are kept.

    Raises:
        ValueError: The call merges slices, and one is not built.
        OSError: A shard cannot be written.
        RuntimeError: A worker was killed.
    """
    store = Receipts(url)
    shards = _shards_of_call(config, plan)
    found = {shard.name: store.find(shard) for shard in shards}
    receipts = {name: receipt for name, receipt in found.items() if receipt is not None}
    missing = [shard for shard in shards if shard.name not in receipts]
    if missing and config.is_merge:
        raise ValueError(_describe_missing(config, plan=plan, missing=missing))
    if receipts:
        _logger.info("%s: %d of %d shards lie there already", url, len(receipts), len(shards))
    try:
        _build_missing(config, missing, receipts=receipts, store=store, url=url)
    except BaseException:
        _logger.warning(
            "%s: %d of %d shards are built and kept; the same command goes on from there",
            url,
            len(receipts),
            len(shards),
        )
        raise
    return [receipts[shard.name] for shard in shards]


def _shards_of_call(config: BuildConfig, plan: BuildPlan) -> Sequence[PlannedShard]:
    """Return the shards that this call answers for: those of its slice, else all."""
    if config.slice_number is None:
        return plan.shards
    return plan.shards[config.slice_number :: config.num_slices]


def _describe_missing(
    config: BuildConfig, *, plan: BuildPlan, missing: Sequence[PlannedShard]
) -> str:
    numbers = {shard.name: place % config.num_slices for place, shard in enumerate(plan.shards)}
    of_slice: dict[int, list[str]] = defaultdict(list)
    for shard in missing:
        of_slice[numbers[shard.name]].append(shard.name)
    lines = [
        f"  slice={number}/{config.num_slices} lacks {len(names)}: "
        f"{', '.join(names[:MAX_SHOWN_SHARDS])}{' ...' if names[MAX_SHOWN_SHARDS:] else ''}"
        for number, names in sorted(of_slice.items())
    ]
    return (
        f"slice={config.slice}: {len(missing)} of {len(plan.shards)} shards are not built, or from "
        "other files or options. Run these slices (again), then merge:\n" + "\n".join(lines)
    )


@dataclass(kw_only=True)
class _Pace:
    """How fast a series of shards is built, and how much of the time went into writing."""

    started: float = field(default_factory=time.monotonic)
    num_images: int = 0
    num_bytes: int = 0
    packing_seconds: float = 0.0
    """That the writer waited for samples, or packed them itself."""

    def log(self, *, num_workers: int) -> None:
        """Tell the speed, beside that at which the disk or the store takes what is written."""
        seconds = time.monotonic() - self.started
        megabytes = self.num_bytes / 1e6
        _logger.info(
            "%d images in %.1f s with num_workers=%d: %.1f images/s, %.1f MB/s of shards; "
            "writing alone goes at %.0f MB/s",
            self.num_images,
            seconds,
            num_workers,
            self.num_images / seconds,
            megabytes / seconds,
            megabytes / (seconds - self.packing_seconds),
        )


def _build_missing(
    config: BuildConfig,
    missing: Sequence[PlannedShard],
    *,
    receipts: dict[str, Receipt],
    store: Receipts,
    url: str,
) -> None:
    """Build shards in their order, and add a receipt for each."""
    if not missing:
        return
    chunks = {shard.name: cut_chunks(shard, config=config) for shard in missing}
    storages = {shard.split: Storage(join_url(url, name=shard.split)) for shard in missing}
    progress = tqdm(total=sum(len(one.samples) for one in missing), unit="image", disable=None)
    pace = _Pace()
    all_chunks = itertools.chain.from_iterable(chunks.values())
    with progress, packed_in_order(all_chunks, num_workers=config.num_workers) as packed:
        for shard in missing:
            report = BuildReport()
            of_shard = itertools.islice(packed, len(chunks[shard.name]))
            written = write_shards(
                _samples_of(of_shard, report=report, pace=pace, progress=progress),
                storages[shard.split],
                stem=shard.stem,
                max_bytes=config.max_shard_megabytes * 2**20,
            )
            pace.num_bytes += sum(one.entry.num_bytes for one in written)
            receipt = Receipt(fingerprint=shard.fingerprint, shards=tuple(written), report=report)
            store.write(receipt, shard=shard)
            receipts[shard.name] = receipt
    pace.log(num_workers=config.num_workers)


def _samples_of(
    chunks: Iterator[PackedChunk], *, report: BuildReport, pace: _Pace, progress: "tqdm[NoReturn]"
) -> Iterator[PackedSample]:
    """Yield the samples of one shard; what its chunks report goes into one report."""
    while True:
        asked = time.monotonic()
        chunk = next(chunks, None)
        pace.packing_seconds += time.monotonic() - asked
        if chunk is None:
            return
        report.include(chunk.report)
        pace.num_images += len(chunk.samples)
        progress.update(chunk.num_planned)
        yield from chunk.samples
