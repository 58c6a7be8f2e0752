"""Export a checkpoint as a folder that stands alone, and register it."""

import logging
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import yaml
from rich.console import Console

from evaluation import ExportConfig
from launchers.command_line import run_command
from shards import Corpus, ManifestSource, open_corpus

if TYPE_CHECKING:
    from evaluation import ExportedDeployable

_logger = logging.getLogger(__name__)


def export(config: ExportConfig) -> None:
    """Export a checkpoint as ONNX through a gate on held-out Dice, and register it if asked."""
    from evaluation import (
        HeldOut,
        ModelOrigin,
        check_destination,
        check_registry,
        export_deployable,
        sha256_of,
        trained_corpora,
    )
    from model import find_checkpoint, load_segmenter

    folder = Path(config.output)
    check_destination(folder, overwrite=config.overwrite)
    if config.register_as is not None:
        check_registry(config.tracking_uri)
    corpus = open_corpus(config.data)
    checkpoint = find_checkpoint(Path(config.checkpoint))
    run = _run_of(checkpoint)
    base = None if config.base is None else Path(config.base)
    segmenter = load_segmenter(checkpoint, base=base)
    protocol = config.protocol or ("automatic" if segmenter.is_automatic else "published_click")
    exported = export_deployable(
        segmenter,
        folder,
        origin=ModelOrigin(
            model_name=config.model_name or (run or checkpoint).resolve().name,
            checkpoint=f"{run.resolve().name}/{checkpoint.name}" if run else checkpoint.name,
            training_sources=training_sources(config.training_data, run=run),
            config_hash=None if run is None else sha256_of(run / "config.yaml"),
            trained_on=trained_corpora(checkpoint),
        ),
        held_out=HeldOut(corpus=corpus, protocol=protocol, gate=config.gate),
        forms=config.forms,
        overwrite=config.overwrite,
        include_weights=config.include_weights,
    )
    _report(exported)
    if config.register_as is not None:
        _register(config, exported, corpus=corpus, protocol=protocol)


def training_sources(urls: Sequence[str], *, run: Path | None) -> list[ManifestSource]:
    """Return the sources of the training corpora; of those that the run names if `urls` is empty.

    Corpora that a run names but that are gone are left out with a warning, and the card then says
    that the training data is not known. Corpora that were asked for must be there.
    """
    if urls:
        return [source for url in urls for source in open_corpus(url).manifest.sources]
    sources: list[ManifestSource] = []
    for url in _urls_of_run(run):
        try:
            sources += open_corpus(url).manifest.sources
        except (OSError, ValueError) as error:
            _logger.warning(
                "The model card will not list the training data: %s Give training_data=[URL].",
                error,
            )
            return []
    return sources


def _run_of(checkpoint: Path) -> Path | None:
    """Return the run folder that a checkpoint lies in, or None for a checkpoint on its own."""
    run = checkpoint.resolve().parent.parent
    return run if (run / "config.yaml").is_file() else None


def _urls_of_run(run: Path | None) -> list[str]:
    """Return the training URLs that a run's configuration names."""
    if run is None:
        return []
    from pipeline.config import DataConfig

    options = yaml.safe_load((run / "config.yaml").read_text(encoding="utf-8"))
    train = options.get("data", {}).get("train")
    return [source.url for source in DataConfig(train=train).sources] if train else []


def _report(exported: "ExportedDeployable") -> None:
    dice, parity = exported.summary.overall.metrics["dice"], exported.first.parity
    forms = [
        f"  {one.form:<8} {one.parity.mean_dice:.4f}, {one.parity.dice_change.mean:+.4f} to torch"
        + (f"; left out: {one.refusal}" if one.refusal else "")
        for one in exported.forms
    ]
    lines = [
        f"{exported.folder}: {exported.opened_bytes / 1e6:.1f} MB of graphs in "
        f"{exported.first.form}",
        f"  Dice     {dice.mean:.4f} [{dice.lower:.4f}, {dice.upper:.4f}] on {dice.num_rows} "
        "held-out objects",
        f"  torch    {parity.mean_dice_of_model:.4f}; an object differs by "
        f"{parity.mean_dice_difference:.1e} on average",
        *forms,
        f"  card     {exported.folder / 'model_card.md'}",
    ]
    Console().print(
        "\n".join(lines),
        markup=False,
        highlight=False,
        soft_wrap=True,
    )


def _register(
    config: ExportConfig, exported: "ExportedDeployable", *, corpus: Corpus, protocol: str
) -> None:
    from evaluation import HeldOutResult, register_deployable

    registration = register_deployable(
        exported.folder,
        name=str(config.register_as),
        result=HeldOutResult(corpus=corpus, protocol=protocol, records=exported.first.records),
        tracking_uri=config.tracking_uri,
    )
    standing = "champion" if registration.promotion.is_champion else "challenger"
    Console().print(
        f"{registration.uri} at {config.tracking_uri}\n"
        f"  {standing}: {registration.promotion.reason}",
        markup=False,
        highlight=False,
        soft_wrap=True,
    )


def main() -> int:
    """Run the command and return its exit code."""
    return run_command(ExportConfig, export)


if __name__ == "__main__":
    sys.exit(main())
