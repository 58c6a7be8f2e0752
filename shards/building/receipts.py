"""What came of each planned shard, noted beside the shards until the build is finished.

A receipt is written last. So a shard that has one is whole, and a later call, or the one that
brings the slices of several machines together, need not look into it.
"""

import dataclasses
import json
from dataclasses import dataclass
from typing import Any

from shards.build_report import BuildReport
from shards.manifest import ShardEntry
from shards.patient_split import SPLITS
from shards.shard_writer import SampleFacts, WrittenShard
from shards.storage import Storage, join_url

from .plan import PlannedShard


@dataclass(frozen=True, kw_only=True)
class Receipt:
    """What came of a planned shard: several where it was large, none where all of it is broken."""

    fingerprint: str
    shards: tuple[WrittenShard, ...]
    report: BuildReport


class Receipts:
    """The receipts of the build that is made at a URL."""

    def __init__(self, url: str) -> None:
        """List what lies there."""
        self._storage = Storage(join_url(url, name="receipts"))
        self._names = self._storage.sizes().keys()
        self._sizes = {split: Storage(join_url(url, name=split)).sizes() for split in SPLITS}

    def write(self, receipt: Receipt, *, shard: PlannedShard) -> None:
        """Note what came of `shard`, all of whose files are written."""
        fields = {
            "fingerprint": receipt.fingerprint,
            "shards": [dataclasses.asdict(one) for one in receipt.shards],
            "report": receipt.report.to_json(),
        }
        self._storage.write(_name(shard), content=json.dumps(fields).encode())

    def find(self, shard: PlannedShard) -> Receipt | None:
        """Return what came of `shard`; None where it is not built, or was from something else."""
        if _name(shard) not in self._names:
            return None
        try:
            fields = json.loads(self._storage.read(_name(shard)))
        except ValueError:  # a power cut may leave an empty file
            return None
        if fields["fingerprint"] != shard.fingerprint:
            return None
        sizes = self._sizes[shard.split]
        shards = tuple(_shard_from_json(one) for one in fields["shards"])
        for entry in (one.entry for one in shards):
            if sizes.get(entry.name) != entry.num_bytes or entry.index_name not in sizes:
                return None
        report = BuildReport.from_json(fields["report"])
        return Receipt(fingerprint=shard.fingerprint, shards=shards, report=report)


def _name(shard: PlannedShard) -> str:
    return f"{shard.split}-{shard.stem}.json"


def _shard_from_json(fields: dict[str, Any]) -> WrittenShard:
    return WrittenShard(
        entry=ShardEntry(**fields["entry"]),
        samples=tuple(SampleFacts(**one) for one in fields["samples"]),
    )
