"""What makes shards a build: manifests, lists, the comparison of the splits, `corpus.json`."""

import hashlib
import itertools
from collections.abc import Mapping, Sequence
from dataclasses import replace

from shards.build_report import BuildReport, InputError
from shards.config import BuildConfig
from shards.corpus_file import CORPUS_NAME
from shards.manifest import FORMAT_VERSION, MANIFEST_NAME, Manifest, to_json_file, write_manifest
from shards.patient_split import list_name
from shards.sequences import sequences_name
from shards.shard_reader import Corpus
from shards.shard_writer import WrittenShard, describe_corpus, write_digests
from shards.shared_images import find_shared_images, pixels_name
from shards.storage import Storage, join_url

from .plan import BuildPlan
from .receipts import Receipt

SHARED_IMAGES = "images in more than one split"


def finish_build(
    config: BuildConfig,
    plan: BuildPlan,
    *,
    receipts: Sequence[Receipt],
    report: BuildReport,
    url: str,
) -> dict[str, Manifest]:
    """Write all that lies beside the shards, `corpus.json` last, and return the manifests.

    Args:
        config: Of the build.
        plan: Of the build.
        receipts: What came of each planned shard, in their order.
        report: Gets what the splits share.
        url: Where the shards lie.

    Raises:
        ValueError: A split is empty, there is nothing to learn from, or splits share images.
    """
    shards: dict[str, list[WrittenShard]] = {split: [] for split in plan.num_samples}
    for shard, receipt in zip(plan.shards, receipts, strict=True):
        shards[shard.split] += receipt.shards
    manifests = {
        split: replace(
            describe_corpus(some, split=split, sources=plan.descriptions),
            max_side_pixels=config.max_side_pixels,
        )
        for split, some in shards.items()
    }
    _check_counts(manifests, source=config.source)
    for split, some in shards.items():
        write_digests(some, storage=Storage(join_url(url, name=split)))
    _note_shared_images(url, manifests=manifests, config=config, report=report)
    report.check(max_skipped_samples=config.max_skipped_samples)
    for split, manifest in manifests.items():
        write_manifest(manifest, url=join_url(url, name=split))
    fields = {
        "format_version": FORMAT_VERSION,
        "splits": {split: manifest.content_hash for split, manifest in manifests.items()},
        "grouping_rule": plan.grouping_rule,
        "num_leaked_subjects": plan.num_leaked_subjects,
        "num_shared_images": report.notes[SHARED_IMAGES],
        "skipped": report.problems_by_kind(),
        "notes": dict(sorted(report.notes.items())),
        "options": config.content_options(),
        "fingerprint": plan.fingerprint,
        "list_sha256": {
            split: _write_list(some, split=split, url=url) for split, some in shards.items()
        },
    }
    Storage(url).write(CORPUS_NAME, content=to_json_file(fields))
    return manifests


def files_of(manifests: Mapping[str, Manifest]) -> set[str]:
    """Return the names of all files of a finished build, below its folder."""
    names = {CORPUS_NAME, *map(list_name, manifests)}
    for split, manifest in manifests.items():
        inner = [MANIFEST_NAME, *(pixels_name(source.name) for source in manifest.sources)]
        inner += [sequences_name(source.name) for source in manifest.sources]
        for shard in manifest.shards:
            inner += [shard.name, shard.index_name]
        names |= {f"{split}/{name}" for name in inner}
    return names


def check_not_empty(num_samples: Mapping[str, int], *, source: str) -> None:
    """Refuse a split whose samples are all broken: left out, it would be missed much later.

    Raises:
        ValueError: It names the split.
    """
    for split, count in num_samples.items():
        if not count:
            raise ValueError(
                f"source={source}: no image is left for the {split} split. "
                "Check root and the split's lists."
            )


def _check_counts(manifests: Mapping[str, Manifest], *, source: str) -> None:
    check_not_empty({split: one.num_samples for split, one in manifests.items()}, source=source)
    if not manifests["train"].num_objects:
        raise ValueError(
            f"source={source}: not one of {manifests['train'].num_samples} training images "
            "has an object. Check the masks, and the classes in the lists."
        )


def _note_shared_images(
    url: str, *, manifests: Mapping[str, Manifest], config: BuildConfig, report: BuildReport
) -> None:
    """Report images of which two splits hold the very pixels, whatever they are called."""
    corpora = {
        split: Corpus(join_url(url, name=split), manifest=manifest)
        for split, manifest in manifests.items()
    }
    for one, other in itertools.combinations(corpora, 2):
        for shared in find_shared_images(corpora[one], corpora[other]):
            if config.leaks == "report":
                report.note(SHARED_IMAGES)
                continue
            message = (
                f"{shared.first_key} in {one} and {shared.second_key} in {other} are the same "
                "picture. Take one of them out of its list, or keep both with leaks=report."
            )
            report.add(InputError("image in more than one split", message), is_obstacle=True)


def _write_list(shards: Sequence[WrittenShard], *, split: str, url: str) -> str:
    """Write the keys of a split, sorted, and return the hash of the file."""
    keys = sorted(one.key for shard in shards for one in shard.samples)
    content = "".join(f"{key}\n" for key in keys).encode("ascii")
    Storage(url).write(list_name(split), content=content)
    return hashlib.sha256(content).hexdigest()
