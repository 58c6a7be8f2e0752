"""Reports of real rows: stand-in models asked about small corpora of disks."""

from collections.abc import Sequence
from pathlib import Path

from evaluation import (
    EvaluationOptions,
    EvaluationRecord,
    Predictor,
    compare_models,
    evaluate_corpus,
    write_comparison,
)
from evaluation.measured_rows import measured_rows
from evaluation.reports.report import write_report
from evaluation.reports.sections import ReportContext
from evaluation.summary import summarise_measured
from evaluation.training_tiers import CorpusTiers
from shards import Corpus

from .disk_corpus import (
    DISK,
    RING,
    AutomaticBrightnessPredictor,
    BrightnessPredictor,
    disk_sample,
    write_disk_corpus,
)

ROBUSTNESS = ("published_click", "box", "box_jitter_20", "noisy_point_50", "k_clicks")


def write_disk_report(folder: Path) -> list[EvaluationRecord]:
    """Write `folder/out/report.html` about two protocols, and return the rows."""
    return _write(
        folder,
        predictor=BrightnessPredictor(shift_rows=2),
        corpus=_disks(folder),
        protocols=("published_click", "box"),
    )


def write_full_report(folder: Path) -> list[EvaluationRecord]:
    """Write a report with everything there is for prompts: a heat map, a click curve, two tiers."""
    return _write(
        folder,
        predictor=BrightnessPredictor(shift_rows=2),
        corpus=_disks(folder, sources=("disks", "others")),
        protocols=ROBUSTNESS,
        tiers=CorpusTiers(by_source={"disks": "held_out_subjects", "others": "held_out_sources"}),
        published="samus_generalisation",
    )


def write_automatic_report(folder: Path) -> list[EvaluationRecord]:
    """Write a report about a model that judges presence, on images with and without structures."""
    samples = [disk_sample(str(at), shape=(40 + at, 48), num_disks=at % 2) for at in range(8)]
    corpus = write_disk_corpus(folder / "corpus", samples=samples, categories=(DISK, RING))
    predictor = AutomaticBrightnessPredictor(categories=(DISK, RING), presence_logits=(1.0, -2.0))
    return _write(folder, predictor=predictor, corpus=corpus, protocols=("automatic",))


def write_disk_comparison(folder: Path) -> Path:
    """Write a comparison of three models, one of them trained twice; return its page."""
    corpus = _disks(folder, sources=("disks", "others"))
    tiers = CorpusTiers(by_source={"disks": "held_out_subjects", "others": "held_out_sources"})

    def rows(shift_rows: int) -> list[EvaluationRecord]:
        return evaluate_corpus(
            BrightnessPredictor(shift_rows=shift_rows),
            corpus,
            protocol=ROBUSTNESS,
            model_name="m",
            tiers=tiers,
            progress=False,
        )

    trainings = {"exact": [rows(0)], "shifted": [rows(2), rows(3)], "far_off": [rows(5)]}
    comparison = compare_models(
        trainings, facts={name: {} for name in trainings}, reference="exact"
    )
    return write_comparison(folder / "out", comparison)


def _disks(folder: Path, *, sources: tuple[str, ...] = ("disks",)) -> Corpus:
    samples = [
        disk_sample(
            str(at),
            source=source,
            subject=f"s{at // 2}",
            shape=(40 + at + 9 * place, 48),
            num_disks=1 + at % 2,
        )
        for place, source in enumerate(sources)
        for at in range(8)
    ]
    return write_disk_corpus(folder / "corpus", samples=samples)


def _write(
    folder: Path,
    *,
    predictor: Predictor,
    corpus: Corpus,
    protocols: Sequence[str],
    tiers: CorpusTiers | None = None,
    published: str | None = None,
) -> list[EvaluationRecord]:
    options = EvaluationOptions()
    records = evaluate_corpus(
        predictor,
        corpus,
        protocol=protocols,
        model_name="a<model>",
        options=options,
        tiers=tiers or CorpusTiers(),
        progress=False,
    )
    context = ReportContext(
        model_name="a<model>",
        command="python launchers/evaluate_checkpoint.py checkpoint=RUN",
        corpora=(corpus,),
        predictor=predictor,
        options=options,
        num_gallery_cases=2,
        published=published,
    )
    groups = measured_rows(records)
    write_report(
        folder / "out",
        records=records,
        groups=groups,
        summaries=[summarise_measured(group) for group in groups],
        context=context,
    )
    return records
