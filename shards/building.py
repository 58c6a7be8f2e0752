"""From a raw dataset to `OUT/{train,validation,test}/` and `OUT/corpus.json`."""

import contextlib
import dataclasses
import difflib
import errno
import hashlib
import itertools
import json
import logging
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tqdm import tqdm

from .build_report import BuildReport, InputError
from .config import BuildConfig
from .corpus_file import CORPUS_NAME, read_corpus_file
from .manifest import FORMAT_VERSION, Manifest, SourceDescription, to_json_file
from .patient_split import (
    SPLITS,
    check_held_out,
    check_leaks,
    leave_out_excluded,
    list_name,
    split_of_sample,
)
from .sample import UltrasoundSample
from .shard_reader import open_corpus
from .shard_writer import CorpusWriter
from .shared_images import find_shared_images
from .sources import SOURCES, PlannedSample, SourcePlan
from .storage import Storage, join_url

SHARED_IMAGES = "images in more than one split"

_logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class BuildPlan:
    """Everything that is known before the first pixel is read."""

    descriptions: tuple[SourceDescription, ...]
    samples: dict[str, list[PlannedSample]]
    """Split that is asked for -> its samples, in the order in which they are written."""

    grouping_rule: str
    num_leaked_subjects: int
    fingerprint: str
    """Of options, sources and input files: two builds with the same one give the same bytes."""


def build_corpora(config: BuildConfig) -> dict[str, Manifest]:
    """Build the corpora that `config` describes, or reuse them where they lie finished already.

    On a disk the whole build is made beside `output` and renamed at the end; elsewhere shards
    appear one by one and a manifest comes last. All problems of the input are told at once.

    Returns:
        The manifest of every split that has samples.

    Raises:
        ValueError: The input has problems, the output is taken, or nothing came out.
        OSError: The output cannot be written.
    """
    _check_output(config)
    report = BuildReport()
    plan = plan_build(config, report)
    if report.refuses(max_skipped_samples=config.max_skipped_samples):
        # It is refused already; the rest is read all the same, so that one report names everything.
        for planned in itertools.chain(*plan.samples.values()):
            _read(planned, report=report)
        raise _refusal(config, report)
    _check_not_empty({split: len(some) for split, some in plan.samples.items()}, config=config)
    finished = _finished_build(config, plan=plan)
    if finished is not None:
        _logger.info("%s holds this very build already; it is reused.", config.output)
        return finished
    with _writing_guard(config.output), _staging(config.output) as url:
        manifests = _write_splits(config, plan, report=report, url=url)
        _check_shared_images(url, splits=list(manifests), config=config, report=report)
        fields = _corpus_fields(config, plan, report=report, manifests=manifests)
        fields["list_sha256"] = {
            split: hashlib.sha256(Storage(url).read(list_name(split))).hexdigest()
            for split in manifests
        }
        Storage(url).write(CORPUS_NAME, content=to_json_file(fields))
    _log_outcome(config, manifests=manifests, report=report)
    return manifests


def _check_output(config: BuildConfig) -> None:
    """Refuse an output that the raw data lie in: replacing it would remove them."""
    storage = Storage(config.output)
    if config.root is None or not storage.is_local:
        return
    output, root = Path(storage.folder).resolve(), Path(config.root).resolve()
    if output in (root, *root.parents):
        raise ValueError(
            f"output={config.output}: the raw data of root={config.root} lie in it, and a build "
            "replaces all that its output holds. Give another output."
        )


def plan_build(config: BuildConfig, report: BuildReport) -> BuildPlan:
    """Ask the source for its samples and put each into a split, without reading a pixel."""
    source_plan = _source_plan(config, report)
    samples: dict[str, list[PlannedSample]] = {split: [] for split in SPLITS}
    asked_for = {"train", *(source_plan.listed_splits if config.splits == "official" else ())}
    check_held_out(config.held_out_sources, known=(one.name for one in source_plan.descriptions))
    for planned in source_plan.samples:
        samples[split_of_sample(planned, config=config)].append(planned)
    if config.excluded is not None:
        num_excluded = leave_out_excluded(samples, excluded=config.excluded)
        report.note("images left out by the list of an audit", count=num_excluded)
    for planned_of_split in samples.values():
        _check_keys(planned_of_split, report=report)
    num_leaked = check_leaks(samples, config=config, report=report)
    drawn = f"drawn by a hash of the subject with seed {config.split_seed}"
    split_rule = {
        "official": f"the source's own lists; where it has none, {drawn}",
        "official_test": f"the source's own test list; the rest {drawn}",
        "subject": drawn,
    }[config.splits]
    return BuildPlan(
        descriptions=source_plan.descriptions,
        samples={
            split: planned for split, planned in samples.items() if planned or split in asked_for
        },
        grouping_rule=f"{source_plan.grouping_rule}; split: {split_rule}",
        num_leaked_subjects=num_leaked,
        fingerprint=_fingerprint(config, source_plan=source_plan, samples=samples),
    )


def _source_plan(config: BuildConfig, report: BuildReport) -> SourcePlan:
    if config.source not in SOURCES:
        close = difflib.get_close_matches(config.source, SOURCES, n=1)
        hint = f" Did you mean {close[0]!r}?" if close else ""
        raise ValueError(
            f"source={config.source}: there is no such source.{hint} "
            f"Sources: {', '.join(sorted(SOURCES))}."
        )
    return SOURCES[config.source](config, report)


def _check_keys(samples: list[PlannedSample], *, report: BuildReport) -> None:
    """Report samples that would get one key, naming both files; only the first stays."""
    first: dict[str, PlannedSample] = {}
    for planned in list(samples):
        known = first.setdefault(planned.key, planned)
        if known is not planned:
            samples.remove(planned)
            report.add(
                InputError(
                    "two files with one key",
                    f"{known.where} and {planned.where}: both would be {planned.key}. "
                    "Rename one of them, and its mask, in folder and lists.",
                )
            )


def _fingerprint(
    config: BuildConfig, *, source_plan: SourcePlan, samples: dict[str, list[PlannedSample]]
) -> str:
    descriptions = [dataclasses.asdict(one) for one in source_plan.descriptions]
    digest = hashlib.sha256(json.dumps(config.content_options(), sort_keys=True).encode())
    digest.update(f"format {FORMAT_VERSION}\n{source_plan.grouping_rule}".encode())
    digest.update(json.dumps(descriptions, sort_keys=True).encode())
    for split, planned_of_split in samples.items():
        for planned in planned_of_split:
            name = f"{split}/{planned.key}/{planned.subject}"
            digest.update(f"\n{name}/{planned.fingerprint}".encode())
    return digest.hexdigest()


def _finished_build(config: BuildConfig, *, plan: BuildPlan) -> dict[str, Manifest] | None:
    """Return the manifests of the same build at `output`; None where it is free."""
    storage = Storage(config.output)
    if storage.is_empty():
        return None
    fields = None if config.overwrite else read_corpus_file(config.output)
    is_same = fields is not None and fields.get("fingerprint") == plan.fingerprint
    if fields is not None and is_same and not config.overwrite:
        return {
            split: open_corpus(join_url(config.output, name=split)).manifest
            for split in fields["splits"]
        }
    if not config.overwrite:
        what = "another build" if fields else "other files, or a build that was cut short"
        raise ValueError(
            f"{config.output}: holds {what}. Give another output, or replace it: overwrite=true."
        )
    return None


@contextlib.contextmanager
def _staging(output: str) -> Iterator[str]:
    """Give the URL to build at, and put a finished build in its place.

    On a disk that is a folder beside `output`, so that nothing is seen, and nothing of an older
    build lost, before all is well. Elsewhere renaming would copy everything, so the older build
    is removed first, and what a build wrote that ends in an error is removed as well.
    """
    storage = Storage(output)
    if not storage.is_local:
        storage.remove()
        try:
            yield output
        except BaseException:
            with contextlib.suppress(OSError):  # the error that ended the build says more
                storage.remove()
            raise
        return
    final = Path(storage.folder)
    staged = Storage(f"{storage.folder}.partial")
    staged.remove()
    try:
        yield staged.folder
        if final.exists():
            shutil.rmtree(final)
        Path(staged.folder).replace(final)
    finally:
        staged.remove()


@contextlib.contextmanager
def _writing_guard(output: str) -> Iterator[None]:
    """Turn the system's errors about `output` into one that says what to do."""
    remedies = {
        errno.ENOSPC: "The disk is full: free some space, or give another output.",
        errno.EDQUOT: "The quota is used up: free some space, or give another output.",
        errno.EFBIG: "A file grew too large: lower max_shard_megabytes, or lift the limit.",
        errno.EROFS: "The disk is read-only: give another output.",
        errno.EACCES: "Writing is not allowed here: give another output, or mend the rights.",
        errno.EPERM: "Writing is not allowed here: give another output, or mend the rights.",
    }
    try:
        yield
    except OSError as error:
        remedy = remedies.get(error.errno or 0, "Give another output.")
        raise OSError(f"{output}: cannot be written ({error}). {remedy}") from error


def _write_splits(
    config: BuildConfig, plan: BuildPlan, *, report: BuildReport, url: str
) -> dict[str, Manifest]:
    manifests = {}
    for split, planned_of_split in plan.samples.items():
        keys: list[str] = []
        with CorpusWriter(
            join_url(url, name=split),
            split=split,
            sources=plan.descriptions,
            max_samples_per_shard=config.max_samples_per_shard,
            max_shard_bytes=config.max_shard_megabytes * 2**20,
        ) as writer:
            for planned in tqdm(planned_of_split, desc=split, unit="image", disable=None):
                sample = _read(planned, report=report)
                # Once it is refused, the rest is only read, so that one report names everything.
                if sample is not None and report.num_problems <= config.max_skipped_samples:
                    writer.write(sample)
                    keys.append(sample.key)
            if report.num_problems <= config.max_skipped_samples:
                manifests[split] = writer.finish()
                lines = "".join(f"{key}\n" for key in sorted(keys))
                Storage(url).write(list_name(split), content=lines.encode("ascii"))
    if report.num_problems > config.max_skipped_samples:
        raise _refusal(config, report)
    _check_not_empty({split: one.num_samples for split, one in manifests.items()}, config=config)
    if not manifests["train"].num_objects:
        raise ValueError(
            f"source={config.source}: not one of {manifests['train'].num_samples} training images "
            "has an object. Check the masks, and the classes in the lists."
        )
    return manifests


def _check_shared_images(
    url: str, *, splits: list[str], config: BuildConfig, report: BuildReport
) -> None:
    """Refuse or note images of which two splits hold the very pixels, whatever they are called."""
    corpora = {split: open_corpus(join_url(url, name=split)) for split in splits}
    for one, other in itertools.combinations(splits, 2):
        for shared in find_shared_images(corpora[one], corpora[other]):
            if config.leaks == "report":
                report.note(SHARED_IMAGES)
                continue
            message = (
                f"{shared.first_key} in {one} and {shared.second_key} in {other} are the same "
                "picture. Take one of them out of its list, or keep both with leaks=report."
            )
            report.add(InputError("image in more than one split", message), is_obstacle=True)
    if report.refuses(max_skipped_samples=config.max_skipped_samples):
        raise _refusal(config, report)


def _read(planned: PlannedSample, *, report: BuildReport) -> UltrasoundSample | None:
    try:
        sample = planned.read()
    except InputError as problem:
        report.add(problem)
        return None
    except ValueError as error:
        report.add(InputError("unreadable or unsupported file", str(error)))
        return None
    if not sample.objects:
        report.note("images without an object")
    if not sample.origin.subject_is_known:
        report.note("images whose subject is unknown")
    return sample


def _check_not_empty(num_samples: dict[str, int], *, config: BuildConfig) -> None:
    """Refuse a split whose samples are all broken: left out, it would be missed much later."""
    for split, count in num_samples.items():
        if not count:
            raise ValueError(
                f"source={config.source}: no image is left for the {split} split. "
                "Check root and the split's lists."
            )


def _refusal(config: BuildConfig, report: BuildReport) -> ValueError:
    return ValueError(
        f"the input has {report.num_problems} problems; max_skipped_samples="
        f"{config.max_skipped_samples} leaves out at most so many broken samples, and lets neither "
        f"a leak nor a list that cannot be used pass. Nothing was built.\n"
        f"{report.describe_problems()}"
    )


def _corpus_fields(
    config: BuildConfig, plan: BuildPlan, *, report: BuildReport, manifests: dict[str, Manifest]
) -> dict[str, Any]:
    return {
        "format_version": FORMAT_VERSION,
        "splits": {split: manifest.content_hash for split, manifest in manifests.items()},
        "grouping_rule": plan.grouping_rule,
        "num_leaked_subjects": plan.num_leaked_subjects,
        "num_shared_images": report.notes[SHARED_IMAGES],
        "skipped": report.problems_by_kind(),
        "notes": dict(sorted(report.notes.items())),
        "options": config.content_options(),
        "fingerprint": plan.fingerprint,
    }


def _log_outcome(
    config: BuildConfig, *, manifests: dict[str, Manifest], report: BuildReport
) -> None:
    for split, manifest in manifests.items():
        _logger.info(
            "%s: %d images with %d objects in %d shards",
            join_url(config.output, name=split),
            manifest.num_samples,
            manifest.num_objects,
            len(manifest.shards),
        )
        if not manifest.num_objects:
            _logger.warning("%s has no object: nothing can be scored on it", split)
    for what, count in sorted(report.notes.items()):
        _logger.info("%s: %d", what, count)
    if report.num_problems:
        _logger.warning("%d samples left out:\n%s", report.num_problems, report.describe_problems())
