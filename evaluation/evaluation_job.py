"""The evaluation job: open a model and corpora, measure, summarise, write the report."""

import dataclasses
import logging
from collections.abc import Sequence
from pathlib import Path

from shards import Corpus, open_corpus

from .config import EvaluateConfig
from .deployable_folder import is_deployable
from .evaluate import EvaluationOptions, evaluate_corpus
from .predictor import NonFiniteLogitsError, Predictor
from .protocols import AUTOMATIC_PROTOCOL
from .records import EvaluationRecord, gather_records
from .report import ReportContext, write_report
from .run_tracking import log_summaries
from .summary import Summary, summarise_each

_logger = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True, kw_only=True)
class EvaluationResult:
    """What an evaluation job found, and where it lies."""

    folder: Path
    records: list[EvaluationRecord]
    summaries: list[Summary]


def run_evaluation(config: EvaluateConfig) -> EvaluationResult:
    """Measure a model on every corpus under every protocol, and write the report.

    Raises:
        FileNotFoundError: There is no such checkpoint or corpus.
        ValueError: The checkpoint is damaged, or the corpora hold nothing that it can be asked,
            or it answers with NaN or infinity.
    """
    place = _ModelPlace.of(config)
    corpora = [open_corpus(url) for url in config.urls]
    predictor = open_model(config, folder=place.folder)
    options = EvaluationOptions(
        images_per_batch=config.batch_size,
        seed=config.seed,
        categories=tuple(config.categories),
        max_images=config.max_images,
        scoring=config.scoring,
    )
    try:
        records = gather_records(
            evaluate_corpus(
                predictor, corpus, protocol=protocol, model_name=place.name, options=options
            )
            for protocol in _protocols(config, predictor)
            for corpus in corpora
        )
    except NonFiniteLogitsError as error:
        raise ValueError(f"checkpoint={place.folder}: {error}") from error
    _refuse_no_rows(records, corpora)
    asked = _protocols(config, predictor)
    summaries = sorted(
        summarise_each(records, bootstrap=config.intervals),
        key=lambda summary: asked.index(summary.protocol),
    )
    context = ReportContext(
        model_name=place.name,
        command=_command(config, place),
        corpora=tuple(corpora),
        predictor=predictor,
        options=options,
        num_gallery_cases=config.num_gallery_cases,
    )
    write_report(place.output, records=records, summaries=summaries, context=context)
    if config.track:
        log_summaries(place.folder, summaries=summaries)
    return EvaluationResult(folder=place.output, records=records, summaries=summaries)


def open_model(config: EvaluateConfig, *, folder: Path) -> Predictor:
    """Open a deployable or a checkpoint folder as a predictor."""
    if is_deployable(folder):
        from .deployable_predictor import DeployablePredictor  # noqa: PLC0415 -- needs onnxruntime

        return DeployablePredictor(folder)
    import torch  # noqa: PLC0415 -- a deployable is evaluated without it

    from model import load_segmenter  # noqa: PLC0415

    from .prediction import SegmenterPredictor  # noqa: PLC0415

    device = config.device
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    return SegmenterPredictor(
        load_segmenter(folder, base=None if config.base is None else Path(config.base)),
        device=_usable_device(device),
        batch_size=config.batch_size,
        precision=config.precision,
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class _ModelPlace:
    """Where the model lies, what it is called, and where its report goes."""

    folder: Path
    """The checkpoint or deployable folder itself."""

    name: str
    output: Path

    @classmethod
    def of(cls, config: EvaluateConfig) -> "_ModelPlace":
        given = Path(config.checkpoint)
        if is_deployable(given):
            folder, run = given, None
        else:
            from model import find_checkpoint  # noqa: PLC0415

            folder = find_checkpoint(given)
            run = run_of_checkpoint(folder)
        if config.output is None and run is None:
            raise ValueError(
                f"output: {given} lies in no run folder whose report/ could take the report. "
                "Say where to write it: output=FOLDER."
            )
        return cls(
            folder=folder,
            name=config.model_name or (run or folder).resolve().name,
            output=Path(config.output) if config.output is not None else Path(run or ".", "report"),
        )


def _command(config: EvaluateConfig, place: _ModelPlace) -> str:
    """Return the command that measures the same again."""
    words = [f"checkpoint={config.checkpoint}", f"data=[{','.join(config.urls)}]"]
    defaults = EvaluateConfig(checkpoint="", data="-")
    for name in ("protocols", "categories", "max_images", "precision", "seed"):
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


def run_of_checkpoint(checkpoint: Path) -> Path | None:
    """Return the run folder that a checkpoint lies in, or None for a checkpoint on its own."""
    parents = checkpoint.absolute().parents
    return parents[1] if parents[0].name == "checkpoints" else None


def _protocols(config: EvaluateConfig, predictor: Predictor) -> list[str]:
    default = AUTOMATIC_PROTOCOL if predictor.is_automatic else "published_click"
    return list(dict.fromkeys(config.protocols)) or [default]


def _usable_device(name: str) -> str:
    """Return the device's name if tensors can be put on it."""
    import torch  # noqa: PLC0415

    try:
        torch.zeros(1, device=name)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise ValueError(
            f"device={name}: cannot be used ({reason}). Give device=cpu, or a GPU that is there."
        ) from error
    return name


def _refuse_no_rows(records: Sequence[EvaluationRecord], corpora: Sequence[Corpus]) -> None:
    if not records:
        looked_at = ", ".join(corpus.url for corpus in corpora)
        raise ValueError(
            f"{looked_at}: none of the images looked at holds an object to evaluate. "
            "Take other categories=[...] or more max_images."
        )
