"""A report of real rows: a stand-in model asked about a small corpus of disks."""

from pathlib import Path

from evaluation import EvaluationOptions, EvaluationRecord, evaluate_corpus, summarise_each
from evaluation.report import ReportContext, write_report

from .disk_corpus import BrightnessPredictor, disk_sample, write_disk_corpus


def write_disk_report(folder: Path) -> list[EvaluationRecord]:
    """Write `folder/out/report.html` about two protocols, and return the rows."""
    samples = [
        disk_sample(str(at), subject=f"s{at // 2}", shape=(40 + at, 48), num_disks=1 + at % 2)
        for at in range(8)
    ]
    corpus = write_disk_corpus(folder / "corpus", samples=samples)
    predictor, options = BrightnessPredictor(shift_rows=2), EvaluationOptions()
    records = [
        row
        for protocol in ("published_click", "box")
        for row in evaluate_corpus(
            predictor, corpus, protocol=protocol, model_name="a<model>", options=options
        )
    ]
    context = ReportContext(
        model_name="a<model>",
        command="python launchers/evaluate_checkpoint.py checkpoint=RUN",
        corpora=(corpus,),
        predictor=predictor,
        options=options,
        num_gallery_cases=2,
    )
    write_report(
        folder / "out", records=records, summaries=summarise_each(records), context=context
    )
    return records
