"""Run the whole chain on the embedded default: phantom images in, a served model out."""

import logging
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from launchers.command_line import run_command

LAUNCHERS = Path(__file__).resolve().parent
MODEL_NAME = "samus-quickstart"
EXAMPLE = "example.png"
RUN_NAME = "phantom_tiny"
GENERATOR_RUN_NAME = "phantom_autosamus"

_ACCELERATE = """
import signal
signal.signal(signal.SIGINT, signal.SIG_DFL)
from accelerate.commands.accelerate_cli import main
signal.signal(signal.SIGINT, lambda number, frame: None)
main()
"""
# `accelerate`, but for Ctrl-C: by itself it would end with a traceback a quarter of a second later,
# while the program that it has started, which Ctrl-C reaches as well, has yet to save.

_logger = logging.getLogger(__name__)


@dataclass(kw_only=True)
class QuickstartConfig:
    """The chain on simulated images with a tiny SAMUS; minutes on two cores."""

    folder: str = "quickstart"
    """Where everything goes; what is there already is used again."""


@dataclass(frozen=True, kw_only=True)
class Step:
    """One command of the chain, and a file that it makes."""

    title: str
    words: Sequence[str]
    proof: Path

    needs_example: bool = False
    """Whether the command is given a click in the example image, as its last word."""


def quickstart(config: QuickstartConfig) -> int:
    """Build shards, pretrain, evaluate, export, register and predict on simulated ultrasound."""
    folder = Path(config.folder)
    folder.mkdir(parents=True, exist_ok=True)
    steps = plan_steps(folder)
    for number, step in enumerate(steps, start=1):
        if not run_step(step, folder=folder, later=steps[number:]):
            return 1
    _show_where_things_lie(folder)
    return 0


def plan_steps(folder: Path) -> list[Step]:
    """Return the commands of the chain in order; each can be typed by hand as well."""
    corpus, runs, deployable = folder / "corpus", folder / "runs", folder / "deployable"
    run, tracking = runs / RUN_NAME, f"sqlite:///{runs / 'mlflow.db'}"
    corpora = [f"data.train={corpus / 'train'}", f"data.validation={corpus / 'validation'}"]
    one_cpu = LAUNCHERS / "accelerate" / "one_cpu.yaml"
    launch = ["accelerate", "launch", "--quiet", f"--config_file={one_cpu}"]
    return [
        Step(
            title="shards",
            words=[_script("build_shards.py"), "source=phantom", f"output={corpus}"],
            proof=corpus / "corpus.json",
        ),
        Step(
            title="pretraining",
            words=[
                *launch,
                _script("pretrain.py"),
                "preset=phantom_tiny",
                *corpora,
                f"run.root={runs}",
            ],
            proof=run / "checkpoints" / "BEST",
        ),
        Step(
            title="evaluation",
            words=[
                _script("evaluate_checkpoint.py"),
                f"checkpoint={run}",
                f"data={corpus / 'test'}",
            ],
            proof=run / "report" / "report.html",
        ),
        Step(
            title="export and registration",
            words=[
                _script("export_deployable.py"),
                f"checkpoint={run}",
                f"data={corpus / 'test'}",
                f"output={deployable}",
                "overwrite=true",
                f"register_as={MODEL_NAME}",
                f"tracking_uri={tracking}",
            ],
            proof=deployable / "checksums.json",
        ),
        Step(
            title="prediction by the registered champion",
            words=[
                _script("predict.py"),
                f"model=models:/{MODEL_NAME}@champion",
                f"tracking_uri={tracking}",
                f"image={folder / 'example.png'}",
                f"output={folder / 'prediction'}",
            ],
            proof=folder / "prediction" / "example_overlay.png",
            needs_example=True,
        ),
        Step(
            title="prompt generator",
            words=[
                *launch,
                _script("train_prompt_generator.py"),
                "preset=phantom_autosamus",
                f"parent={run}",
                *corpora,
                f"run.root={runs}",
            ],
            proof=runs / GENERATOR_RUN_NAME / "checkpoints" / "BEST",
        ),
    ]


def _script(name: str) -> str:
    return str(_shortest(LAUNCHERS / name))


def is_done(step: Step, *, folder: Path) -> bool:
    """Tell whether a step ended well before, and what it made is still there."""
    return step.proof.exists() and _mark(step, folder=folder).exists()


def run_step(step: Step, *, folder: Path, later: Sequence[Step]) -> bool:
    """Run a step unless it is done, and tell whether it went well.

    Args:
        step: One of `plan_steps`.
        folder: Of the quick start.
        later: The steps behind it; what they made is out of date once this one runs.

    Raises:
        KeyboardInterrupt: Ctrl-C; the step has saved what it can, and has ended.
    """
    if is_done(step, folder=folder):
        _logger.info("%s: %s is there and is used again", step.title, step.proof)
        return True
    for one in (step, *later):
        _mark(one, folder=folder).unlink(missing_ok=True)
    words = [*step.words]
    if step.needs_example:
        words.append(_write_example(folder))
    _logger.info("%s: %s", step.title, " ".join(words))
    code = _run_to_its_end(words)
    if code:
        _logger.error("%s ended with exit code %d; what is done stays done", step.title, code)
        return False
    _mark(step, folder=folder).parent.mkdir(exist_ok=True)
    _mark(step, folder=folder).touch()
    return True


def _run_to_its_end(words: Sequence[str]) -> int:
    """Run a command and return its exit code; Ctrl-C reaches it too, and is not passed on before.

    `subprocess.run` would kill the command a quarter of a second after Ctrl-C.
    """
    process = subprocess.Popen(with_interpreter(words))
    try:
        return process.wait()
    except KeyboardInterrupt:
        process.wait()
        _logger.warning("What is done stays done: the same command goes on from there.")
        raise


def _mark(step: Step, *, folder: Path) -> Path:
    return folder / "done" / step.title.replace(" ", "-")


def with_interpreter(words: Sequence[str]) -> list[str]:
    """Return the command with this environment's programs, whatever `PATH` says."""
    program, *rest = words
    if program == "accelerate":
        return [sys.executable, "-c", _ACCELERATE, *rest]
    return [sys.executable, *words]


def _write_example(folder: Path) -> str:
    """Save a test image, and return a click inside its first object as the option `points`."""
    from PIL import Image
    from scipy.ndimage import distance_transform_edt

    from shards import open_corpus

    corpus = open_corpus(str(folder / "corpus" / "test"))
    samples = (corpus.read_flat(index) for index in range(corpus.num_samples))
    sample = next(sample for sample in samples if sample.objects)
    Image.fromarray(sample.image).save(folder / EXAMPLE)
    depth = np.asarray(distance_transform_edt(sample.objects[0].mask()))
    row, column = np.unravel_index(depth.argmax(), depth.shape)
    return f"points=[[{column},{row}]]"


def _show_where_things_lie(folder: Path) -> None:
    run = folder / "runs" / RUN_NAME
    places = {
        "report": run / "report" / "report.html",
        "overlay picture": folder / "prediction" / "example_overlay.png",
        "deployable": folder / "deployable",
        "model by category": folder / "runs" / GENERATOR_RUN_NAME,
        "MLflow database": folder / "runs" / "mlflow.db",
    }
    lines = [f"  {name:<17} {place}" for name, place in places.items()]
    mlflow = Path(sys.executable).with_name("mlflow")
    address = f"sqlite:///{folder / 'runs' / 'mlflow.db'}"
    command = f"{_shortest(mlflow)} server --backend-store-uri {address}"
    text = "\n".join(["", "Done. Where things lie:", *lines, "", "To open MLflow:", f"  {command}"])
    sys.stdout.write(f"{text}\n")


def _shortest(path: Path) -> Path:
    """Return the path as a person here would type it."""
    here = Path.cwd()
    return path.relative_to(here) if path.is_relative_to(here) else path


def main() -> int:
    """Run the command line."""
    return run_command(QuickstartConfig, quickstart)


if __name__ == "__main__":
    sys.exit(main())
