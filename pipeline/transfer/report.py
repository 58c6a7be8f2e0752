"""What a transfer found, as a table, curves over the labelled share, and numbers."""

import dataclasses
import json
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from evaluation import Table, format_interval, markdown_table, without_nan

from .job import SCORES, TransferOutcome, TransferRow

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_TITLES = {
    "macro_f1": "macro F1",
    "balanced_accuracy": "balanced accuracy",
    "auroc": "AUROC",
    "dice": "Dice",
}


def write_transfer(outcome: TransferOutcome, *, folder: Path) -> Table:
    """Write `transfer.md`, `transfer.json` and, with several shares, `curves.png`.

    Returns:
        The table, for a terminal.
    """
    folder.mkdir(parents=True, exist_ok=True)
    table = transfer_table(outcome)
    text = f"{table.caption}\n\n{markdown_table(table)}\n"
    has_curves = len({row.fraction for row in outcome.rows}) > 1
    if has_curves:
        text += "\n![Score against labelled images](curves.png)\n"
    (folder / "transfer.md").write_text(text, encoding="utf-8")
    numbers = json.dumps(without_nan(dataclasses.asdict(outcome)), indent=2, allow_nan=False)
    (folder / "transfer.json").write_text(numbers + "\n", encoding="utf-8")
    if has_curves:
        _draw_curves(outcome, path=folder / "curves.png")
    return table


def transfer_table(outcome: TransferOutcome) -> Table:
    """Return a line for each encoder, method and share of labels."""
    scores = SCORES[outcome.task]
    main = scores[0]
    return Table(
        caption=(
            f"{outcome.task.capitalize()} of {', '.join(outcome.classes)}, with intervals over "
            "subjects."
        ),
        titles=(
            "encoder",
            "method",
            "labelled",
            *(_TITLES[name] for name in scores),
            f"{_TITLES[main]} minus {outcome.reference}",
        ),
        rows=tuple(
            (
                row.encoder,
                row.method,
                f"{row.num_labelled} ({100 * row.fraction:g} %)",
                *(format_interval(name, row.scores[name]) for name in scores),
                format_interval(main, row.differences.get(main)),
            )
            for row in outcome.rows
        ),
    )


def _draw_curves(outcome: TransferOutcome, *, path: Path) -> None:
    from matplotlib.figure import Figure  # noqa: PLC0415 -- takes a second

    score = SCORES[outcome.task][0]
    methods = list(dict.fromkeys(row.method for row in outcome.rows))
    encoders = list(dict.fromkeys(row.encoder for row in outcome.rows))
    figure = Figure(figsize=(4 * len(methods), 3.4), layout="constrained")
    for axes, method in zip(
        figure.subplots(1, len(methods), sharey=True, squeeze=False)[0], methods, strict=True
    ):
        for shift, encoder in enumerate(encoders):
            rows = [row for row in outcome.rows if (row.encoder, row.method) == (encoder, method)]
            _draw_curve(axes, rows, score=score, label=encoder, shift=shift)
        axes.set_xscale("log")
        axes.set_title(method.replace("_", " "))
        axes.set_xlabel("labelled images")
        axes.grid(alpha=0.3)
    figure.axes[0].set_ylabel(_TITLES[score])
    handles, labels = figure.axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=len(labels), frameon=False)
    figure.savefig(path, dpi=120)


def _draw_curve(
    axes: "Axes", rows: list[TransferRow], *, score: str, label: str, shift: int
) -> None:
    intervals = [row.scores[score] for row in rows]
    means = [one.mean for one in intervals]
    below = [one.mean - one.lower for one in intervals]
    above = [one.upper - one.mean for one in intervals]
    axes.errorbar(
        [row.num_labelled * 1.04**shift for row in rows],  # beside each other, not over
        means,
        yerr=np.clip([below, above], 0.0, None),  # a percentile bound may pass its mean
        marker="o",
        capsize=3,
        label=label,
    )
