"""From a raw dataset to `OUT/{train,validation,test}/` and `OUT/corpus.json`."""

import logging
from collections.abc import Mapping

from shards.build_report import BuildReport
from shards.config import BuildConfig
from shards.manifest import Manifest
from shards.storage import join_url

from .finishing import check_not_empty, files_of, finish_build
from .place import check_output, find_finished, open_place, put_in_place, writing_guard
from .plan import plan_build
from .shard_series import build_shards, read_all

_logger = logging.getLogger(__name__)


def build_corpora(config: BuildConfig) -> dict[str, Manifest]:
    """Build the corpora that `config` describes, or reuse them where they lie finished already.

    A call that was stopped is gone on with by the next one: shards that are built are kept as
    long as options and input files are the same. All problems of the input are told at once.

    Returns:
        The manifest of every split that has samples; nothing for one slice of a build.

    Raises:
        ValueError: The input has problems, the output is taken, or nothing came out.
        OSError: The output cannot be written.
        RuntimeError: A worker was killed.
    """
    check_output(config)
    report = BuildReport()
    plan = plan_build(config, report)
    if report.refuses(max_skipped_samples=config.max_skipped_samples):
        # It is refused already; the rest is read all the same, so that one report names everything.
        read_all(config, plan, report=report)
        report.check(max_skipped_samples=config.max_skipped_samples)
    check_not_empty(plan.num_samples, source=config.source)
    finished = find_finished(config, fingerprint=plan.fingerprint)
    if finished is not None:
        _logger.info("%s holds this very build already; it is reused.", config.output)
        return finished
    with writing_guard(config.output):
        url = open_place(config)
        receipts = build_shards(config, plan, url=url)
        for receipt in receipts:
            report.include(receipt.report)
        report.check(max_skipped_samples=config.max_skipped_samples)
        if config.slice_number is not None:
            _logger.info("slice=%s: its %d shards are built", config.slice, len(receipts))
            return {}
        manifests = finish_build(config, plan, receipts=receipts, report=report, url=url)
        put_in_place(config, url=url, names=files_of(manifests))
    _log_outcome(config, manifests=manifests, report=report)
    return manifests


def _log_outcome(
    config: BuildConfig, *, manifests: Mapping[str, Manifest], report: BuildReport
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
