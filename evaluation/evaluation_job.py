"""The evaluation job: open a model and corpora, measure, summarise, write the report."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

from shards import Corpus, open_corpus

from .config import EvaluateConfig
from .deployable.folder import is_deployable
from .evaluate import evaluate_corpus
from .measured_rows import MeasuredRows, measured_rows
from .model_opening import ModelOptions, open_predictor
from .output_folder import check_writable
from .predictor import NonFiniteLogitsError, Predictor
from .protocols import (
    AUTOMATIC_PROTOCOL,
    CLICKS_PROTOCOL,
    DETECTOR_PROTOCOL,
    LABEL_MAP,
    PROTOCOLS,
    ROBUSTNESS,
    num_clicks_of,
)
from .questions import EvaluationOptions, plan_questions
from .ranks import OneRank, Ranks, on_every
from .records import EvaluationRecord, gather_records
from .reports.published_figures import PUBLISHED
from .reports.report import write_report
from .reports.sections import ReportContext
from .run_tracking import log_summaries
from .summary import Summary, summarise_measured
from .training_tiers import (
    TIERS,
    CorpusTiers,
    TrainedCorpus,
    run_of_checkpoint,
    tiers_of,
    trained_corpora,
)

_ALONE = OneRank()


@dataclasses.dataclass(frozen=True, kw_only=True)
class EvaluationResult:
    """What an evaluation job found, and where it lies."""

    folder: Path
    records: list[EvaluationRecord]
    summaries: list[Summary]


def run_evaluation(config: EvaluateConfig, *, ranks: Ranks = _ALONE) -> EvaluationResult | None:
    """Measure a model on every corpus under every protocol, and write the report (collective).

    The images are shared out over the ranks in batches that do not depend on their number, so the
    rows are the same for any number. Rank 0 returns the result, the others None.

    Raises:
        FileNotFoundError: There is no such checkpoint or corpus.
        OSError: The report cannot be written where it is to lie.
        ValueError: The checkpoint is damaged, or the corpora hold nothing that it can be asked,
            or it answers with NaN or infinity.
    """
    job = on_every(ranks, lambda: _Job.opened(config))
    mine = on_every(ranks, lambda: job.measure(rank=ranks.rank, num_ranks=ranks.num_ranks))
    of_ranks = ranks.gather(mine)
    return job.report(gather_records(of_ranks)) if ranks.is_main else None


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Job:
    """Everything that an evaluation needs, opened and checked."""

    config: EvaluateConfig
    place: "_ModelPlace"
    corpora: list[Corpus]
    tiers: list[CorpusTiers]
    predictor: Predictor
    protocols: list[str]
    options: EvaluationOptions

    @classmethod
    def opened(cls, config: EvaluateConfig) -> "_Job":
        if config.published is not None and config.published not in PUBLISHED:
            raise ValueError(
                f"published={config.published}: there are no such figures. Known are "
                f"{', '.join(PUBLISHED)}."
            )
        place = _ModelPlace.of(config)
        check_writable(place.output)
        corpora = [open_corpus(url) for url in config.urls]
        trained = _learnt_from(config, place)
        predictor = open_predictor(place.folder, options=_options(config, base=config.base))
        job = cls(
            config=config,
            place=place,
            corpora=corpora,
            tiers=[tiers_of(corpus, trained=trained) for corpus in corpora],
            predictor=predictor,
            protocols=_protocols(config, predictor),
            options=EvaluationOptions(
                images_per_batch=config.batch_size,
                seed=config.seed,
                categories=tuple(config.categories),
                max_images=config.max_images,
                label_maps=config.label_maps,
                detector=_detector(config),
                scoring=config.scoring,
            ),
        )
        for corpus in corpora:
            for protocol in job.protocols:
                plan_questions(
                    predictor,
                    corpus,
                    protocol=protocol,
                    model_name=place.name,
                    options=job.options,
                )
        return job

    def measure(self, *, rank: int, num_ranks: int) -> list[EvaluationRecord]:
        """Return the rows of this rank's share."""
        try:
            return [
                record
                for corpus, tiers in zip(self.corpora, self.tiers, strict=True)
                for record in evaluate_corpus(
                    self.predictor,
                    corpus,
                    protocol=self.protocols,
                    model_name=self.place.name,
                    rank=rank,
                    num_ranks=num_ranks,
                    progress=rank == 0,
                    options=self.options,
                    tiers=tiers,
                )
            ]
        except NonFiniteLogitsError as error:
            raise ValueError(f"checkpoint={self.place.folder}: {error}") from error

    def report(self, records: list[EvaluationRecord]) -> EvaluationResult:
        """Summarise all rows and write everything down."""
        _refuse_no_rows(records, self.corpora)
        groups = sorted(measured_rows(records), key=self._place_in_report)
        summaries = [summarise_measured(one, bootstrap=self.config.intervals) for one in groups]
        context = ReportContext(
            model_name=self.place.name,
            command=_command(self.config, self.place),
            corpora=tuple(self.corpora),
            predictor=self.predictor,
            options=self.options,
            num_gallery_cases=self.config.num_gallery_cases,
            published=self.config.published,
        )
        write_report(
            self.place.output, records=records, groups=groups, summaries=summaries, context=context
        )
        if self.config.track:
            log_summaries(self.place.folder, summaries=summaries)
        return EvaluationResult(folder=self.place.output, records=records, summaries=summaries)

    def _place_in_report(self, rows: MeasuredRows) -> tuple[int, str, int, bool, int]:
        """Order rows as the protocols were asked for; tiers from the easiest to the hardest."""
        protocol = rows.protocol.removesuffix(LABEL_MAP)
        num_clicks = num_clicks_of(protocol)
        asked = CLICKS_PROTOCOL if num_clicks else protocol
        is_merged = protocol != rows.protocol
        place = self.protocols.index(asked)
        return place, asked, num_clicks, is_merged, list(TIERS).index(rows.tier)


def _options(config: EvaluateConfig, *, base: str | None) -> ModelOptions:
    return ModelOptions(
        base=base,
        form=config.form,
        threads=config.threads,
        device=config.device,
        precision=config.precision,
        batch_size=config.batch_size,
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class _ModelPlace:
    """Where the model lies, what it is called, and where its report goes."""

    folder: Path
    """The checkpoint or deployable folder itself."""

    run: Path | None
    """The run that it lies in."""

    name: str
    output: Path

    @classmethod
    def of(cls, config: EvaluateConfig) -> "_ModelPlace":
        folder = _folder_of(config.checkpoint)
        run = None if is_deployable(folder) else run_of_checkpoint(folder)
        if config.output is None and run is None:
            raise ValueError(
                f"output: {folder} lies in no run folder whose report/ could take the report. "
                "Say where to write it: output=FOLDER."
            )
        return cls(
            folder=folder,
            run=run,
            name=config.model_name or (run or folder).resolve().name,
            output=Path(config.output) if config.output is not None else Path(run or ".", "report"),
        )


def _folder_of(name: str) -> Path:
    """Return the checkpoint or deployable folder that a user names."""
    if is_deployable(Path(name)):
        return Path(name)
    from model import find_checkpoint  # noqa: PLC0415 -- torch

    return find_checkpoint(Path(name))


def _detector(config: EvaluateConfig) -> Predictor | None:
    if config.detector is None:
        return None
    options = dataclasses.replace(_options(config, base=config.detector_base), form=None)
    return open_predictor(Path(config.detector), options=options)


_SHAPE_THE_ROWS = (
    "protocols",
    "model_name",
    "base",
    "form",
    "detector",
    "detector_base",
    "label_maps",
    "categories",
    "max_images",
    "precision",
    "batch_size",
    "threads",
    "seed",
    "published",
)


def _command(config: EvaluateConfig, place: _ModelPlace) -> str:
    """Return the command that measures the same again."""
    words = [f"checkpoint={config.checkpoint}", f"data=[{','.join(config.urls)}]"]
    defaults = EvaluateConfig(checkpoint="", data="-")
    for name in _SHAPE_THE_ROWS:
        value = getattr(config, name)
        if value != getattr(defaults, name):
            shown = f"[{','.join(value)}]" if isinstance(value, list) else value
            words.append(f"{name}={shown}")
    for section in ("scoring", "intervals"):
        values = dataclasses.asdict(getattr(config, section))
        usual = dataclasses.asdict(getattr(defaults, section))
        words += [
            f"{section}.{key}={value}" for key, value in values.items() if value != usual[key]
        ]
    return " ".join(["python launchers/evaluate_checkpoint.py", *words, f"output={place.output}"])


def _learnt_from(config: EvaluateConfig, place: _ModelPlace) -> list[TrainedCorpus] | None:
    """Return what the model was trained on, and what made the boxes it is asked with; else None."""
    folders = [place.folder, *([] if config.detector is None else [Path(config.detector)])]
    found = [trained_corpora(folder) for folder in folders]
    known = [corpora for corpora in found if corpora is not None]
    return [one for corpora in known for one in corpora] if len(known) == len(found) else None


def _protocols(config: EvaluateConfig, predictor: Predictor) -> list[str]:
    """Return the protocols asked for, each once; `robustness` stands for all of prompts."""
    every = [*PROTOCOLS, CLICKS_PROTOCOL]
    if config.detector is not None:
        every.append(DETECTOR_PROTOCOL)
    asked = [
        name
        for protocol in config.protocols
        for name in (every if protocol == ROBUSTNESS else [protocol])
    ]
    default = AUTOMATIC_PROTOCOL if predictor.is_automatic else "published_click"
    return list(dict.fromkeys(asked)) or [default]


def _refuse_no_rows(records: Sequence[EvaluationRecord], corpora: Sequence[Corpus]) -> None:
    if not records:
        looked_at = ", ".join(corpus.url for corpus in corpora)
        raise ValueError(
            f"{looked_at}: none of the images looked at holds an object to evaluate. "
            "Take other categories=[...] or more max_images."
        )
