"""Everything a running pretraining holds, and its phases, which the loop names."""

import contextlib
import logging
import math
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tqdm import tqdm

from evaluation import OtherRankError
from model import Segmenter
from shards.sample_stream import StreamLoader

from .batches import TrainingBatch
from .checkpoint import (
    CheckpointTensors,
    drop_partial_checkpoints,
    mark_best,
    prune_checkpoints,
    step_folder,
    write_checkpoint,
)
from .config import PretrainConfig
from .ema import MovingAverage, weights_replaced
from .engines.engine import Engine
from .learnt_from import LEARNT_FROM
from .process_group import ProcessGroup
from .read_watch import ReadWatch
from .requests import Requests, agree
from .run_folder.folder import RunFolder
from .run_folder.rank_progress import RankProgress
from .run_folder.state import BestScore, RunState
from .segmenter_setup import PreparedSegmenter
from .stepper import NonFiniteLossError, StepOutcome, Stepper
from .stop_signal import StopSignal, describe_signal, exit_code_of
from .throughput import GIBIBYTE, Throughput, memory_in_use
from .tracking.run_records import RunRecords
from .training_data import TrainingData
from .utilisation import Utilisation, known_peak
from .validation import validate
from .validation_pictures import draw_validation_pictures

_logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class RunResult:
    """How a run, or this part of it, ended."""

    folder: RunFolder
    step: int
    best_score: BestScore | None
    exit_code: int
    """0 when the run is finished, 128 + N when signal N interrupted it."""

    message: str


@dataclass(frozen=True, kw_only=True)
class SessionParts:
    """What a session is put together from; see `session_setup`."""

    data: TrainingData
    prepared: PreparedSegmenter
    engine: Engine
    stepper: Stepper
    average: MovingAverage | None
    learnt_from: Mapping[str, Any]
    """Corpora behind the weights that the run starts from."""

    loader: StreamLoader[TrainingBatch]
    num_micro_batches: int
    """Of one rank in one step."""

    state: RunState
    records: RunRecords


class Session:
    """A run in progress. Methods are collective unless they say otherwise."""

    def __init__(
        self,
        parts: SessionParts,
        *,
        config: PretrainConfig,
        group: ProcessGroup,
        folder: RunFolder,
        stop: StopSignal,
        progress: RankProgress,
    ) -> None:
        self._parts = parts
        self._progress = progress
        self._records = parts.records
        self._config = config
        self._group = group
        self._folder = folder
        self._stop = stop
        # Alike on all ranks: it comes from the checkpoint, or is 0.
        self._requests = Requests(time_is_up=self._is_time_up(parts.state.elapsed_seconds))
        self._throughput = Throughput()
        self._read_watch = ReadWatch(config.data, group=group, corpora=parts.data.opened)
        peak = known_peak(group.device, precision=config.precision)
        self._utilisation = Utilisation(
            parts.prepared.segmenter,
            # Computing blocks again is no arithmetic of the model, and would be counted.
            peak=None if config.activation_checkpointing else peak,
            images_per_step=config.data.global_batch_size // group.num_ranks,
        )
        self._elapsed_before = parts.state.elapsed_seconds
        self._start = self._last_save = time.monotonic()
        self._bar = tqdm(
            total=config.run.max_steps,
            initial=parts.state.step,
            unit="step",
            desc=config.run.name,
            disable=None if group.is_main else True,
        )

    @property
    def state(self) -> RunState:
        """Where the run stands."""
        return self._parts.state

    @property
    def is_finished(self) -> bool:
        """Whether nothing is left to do before the first step. Not collective."""
        return self.is_over and not self.validation_is_due

    @property
    def is_over(self) -> bool:
        """Whether this process takes no further step. Not collective, but alike on all ranks."""
        wants_stop = self._requests.stop_signal > 0 or self._requests.time_is_up
        return wants_stop or self.state.step >= self._config.run.max_steps

    @property
    def validation_is_due(self) -> bool:
        """Whether to score now: by the interval and at the end, not when a signal presses.

        One that a signal has put off is due when the run goes on.
        """
        if self._parts.data.validation is None or self._requests.stop_signal:
            return False
        if self.state.step in {0, self.state.validated_step}:
            return False
        every = self._config.validation.every_steps
        return self.is_over or (every is not None and self.state.step % every == 0)

    @property
    def checkpoint_is_due(self) -> bool:
        """Whether to save now: by the intervals, at the end, on a signal, after a best score."""
        best = self.state.best_score
        return (
            self.is_over
            or self._requests.save_is_due
            or self.state.step % self._config.checkpoint.every_steps == 0
            or (best is not None and best.step == self.state.step)
        )

    @contextlib.contextmanager
    def tracked(self) -> Iterator[None]:
        """Keep MLflow and `status.json` truthful, whatever ends the training inside the `with`."""
        facts = {
            "engine": self._group.engine,
            "num_ranks": self._group.num_ranks,
            "device": str(self._group.device),
            "corpora": self._parts.data.facts,
            LEARNT_FROM: self._parts.learnt_from,
        }
        self._records.begin(self.state, facts=facts)
        try:
            with self._progress.naming_lost_ranks():
                yield
        except KeyboardInterrupt:
            self._records.end(self.state, as_state="interrupted", message="Ended without saving.")
            raise
        except BaseException as error:
            self._records.end(self.state, as_state="failed", message=str(error))
            if isinstance(error, NonFiniteLossError) and not self._group.is_main:
                raise OtherRankError("The main one has the same to say.") from error
            raise
        finally:
            self._bar.close()

    def steps(self) -> Iterator[list[TrainingBatch]]:
        """Yield this rank's micro-batches of each step still to take. Not collective."""
        with contextlib.closing(iter(self._parts.loader)) as batches:
            while not self.is_over:
                self._progress.note("data", step=self.state.step)
                with self._throughput.waiting_for_data():
                    micro_batches = [next(batches) for _ in range(self._parts.num_micro_batches)]
                yield micro_batches

    def take_step(self, micro_batches: Sequence[TrainingBatch]) -> StepOutcome:
        """Take one optimizer step and agree with the other ranks on what comes after it."""
        with self._utilisation.counting():
            outcome = self._parts.stepper.take(micro_batches, step=self.state.step)
        self.state.step += 1
        self._progress.note("agreement", step=self.state.step)
        self._agree()
        self._throughput.count(
            num_images=self._config.data.global_batch_size, num_masks=outcome.num_masks
        )
        self._bar.update()
        return outcome

    def log(self, outcome: StepOutcome) -> None:
        """Write a row of this step's own values, every `run.log_every_steps`."""
        step, run = self.state.step, self._config.run
        if step % run.log_every_steps and step != run.max_steps:
            return
        rates = self._throughput.take_rates()
        per_rank = rates["speed/images_per_second"] / self._group.num_ranks
        terms = {name: value for name, value in outcome.losses.items() if name != "total"}
        values = {
            "train/loss": outcome.losses["total"],
            **{f"train/{name}": value for name, value in terms.items()},
            "train/learning_rate": outcome.learning_rate,
            "train/gradient_norm": outcome.gradient_norm,
            "train/vanished_objects": outcome.num_vanished_objects,
            "train/epoch": self.state.samples_consumed / self._parts.data.plan.epoch_length,
            **rates,
            **self._utilisation.at(per_rank),
            **self._read_watch.agree(self._parts.loader.take_report()),
            **memory_in_use(self._group.device),
        }
        # A server that does not answer must not take the time that a signal leaves to save.
        is_pressed = self._requests.stop_signal > 0
        self._records.write(self.state, kind="train", values=values, sends_now=not is_pressed)
        self._bar.set_postfix(loss=f"{outcome.losses['total']:.4f}", refresh=False)

    def validate(self) -> None:
        """Score the held-out shards, with the averaged weights where there are any.

        A signal breaks it off between two batches, and nothing is recorded.
        """
        corpus = self._parts.data.validation
        assert corpus is not None
        with self._throughput.paused(), self._scored_weights() as segmenter:
            result = validate(
                segmenter, corpus, config=self._config, group=self._group, goes_on=self._goes_on
            )
            if result is None:
                return
            self.state.metrics = dict(result.values)
            self.state.validated_step = self.state.step
            self._note_score(result.score)
            self._records.write(self.state, kind="validation", values=result.values)
            if self._group.is_main:
                pictures = draw_validation_pictures(
                    segmenter,
                    corpus,
                    folder=self._folder.pictures / f"step-{self.state.step:08d}",
                    config=self._config,
                    group=self._group,
                )
                self._records.keep_pictures(pictures)
            self._agree()

    def save(self) -> None:
        """Write a checkpoint, note the best, and drop what `checkpoint.keep` lets go."""
        self._progress.note("checkpoint")
        with self._throughput.paused():
            self.state.elapsed_seconds, began = self._elapsed(), time.monotonic()
            with self._parts.engine.whole() as segmenter:
                tensors = self._tensors_to_save(segmenter)
                num_bytes = self._group.on_main(lambda: self._write_checkpoint(tensors))
            self._last_save = time.monotonic()
            self._note_save(seconds=self._last_save - began, num_bytes=num_bytes)
            self._records.note_checkpoints()

    def conclude(self) -> RunResult:
        """Say how the run ended, to the user, `status.json` and MLflow. Not collective."""
        signal = self._requests.stop_signal
        best = self.state.best_score
        scored = f", best {best.name} {best.value:.4f} at step {best.step}" if best else ""
        if signal:
            message = (
                f"{describe_signal(signal)} at step {self.state.step} of "
                f"{self._config.run.max_steps}: saved in {self._folder.path}. The same command "
                "goes on from there."
            )
            self._records.end(self.state, as_state="interrupted", message=message)
        else:
            message = f"{self._folder.path}: finished at step {self.state.step}{scored}."
            self._records.end(self.state, as_state="finished", message=message)
        _logger.info("%s", message)
        return self._result(message, exit_code=exit_code_of(signal) if signal else 0)

    def already_finished(self) -> RunResult:
        """Say that there is nothing left to do. Not collective."""
        self._bar.close()
        message = (
            f"{self._folder.path} is finished: step {self.state.step}. Raise run.max_steps (or "
            "run.max_minutes) to go on, or begin anew with run.fresh=true."
        )
        # The process before may have been killed between its last save and its last word.
        self._records.end(self.state, as_state="finished", message=message)
        _logger.info("%s", message)
        return self._result(message, exit_code=0)

    def _agree(self) -> None:
        """Ask all ranks what they want now; rank 0 alone looks at clocks."""
        every = self._config.checkpoint.every_minutes
        is_main, since_save = self._group.is_main, time.monotonic() - self._last_save
        wishes = Requests(
            stop_signal=self._stop.number,
            time_is_up=is_main and self._is_time_up(self._elapsed()),
            save_is_due=is_main and every is not None and since_save >= 60 * every,
        )
        self._requests = agree(wishes, group=self._group)

    def _goes_on(self) -> bool:
        """Say whether a validation goes on to its next batch."""
        self._progress.note("validation")
        self._agree()
        return not self._requests.stop_signal

    def _is_time_up(self, elapsed_seconds: float) -> bool:
        minutes = self._config.run.max_minutes
        return minutes is not None and elapsed_seconds >= 60 * minutes

    def _elapsed(self) -> float:
        return self._elapsed_before + time.monotonic() - self._start

    def _note_score(self, score: float) -> None:
        best, name = self.state.best_score, self._config.validation.score
        # A run that goes on with another score cannot compare it with the one before.
        is_best = best is None or best.name != name or score > best.value
        if math.isfinite(score) and is_best:
            self.state.best_score = BestScore(name=name, value=score, step=self.state.step)
        _logger.info("Step %d: validation %s %.4f.", self.state.step, name, score)

    @contextlib.contextmanager
    def _scored_weights(self) -> Iterator[Segmenter]:
        """Lend the segmenter with the weights to score: the averaged ones where there are any."""
        engine, average = self._parts.engine, self._parts.average
        values = {} if average is None else engine.joined(average.values)
        with engine.whole() as segmenter, weights_replaced(segmenter, values):
            yield segmenter

    def _tensors_to_save(self, segmenter: Segmenter) -> CheckpointTensors:
        engine, average = self._parts.engine, self._parts.average
        return CheckpointTensors(
            weights=self._parts.prepared.saved_state(segmenter),
            optimizer=engine.optimizer_state(),
            average=None if average is None else engine.joined(average.values),
        )

    def _write_checkpoint(self, tensors: CheckpointTensors) -> int:
        """Write what rank 0 holds, and return its size in bytes."""
        checkpoints = self._folder.checkpoints
        drop_partial_checkpoints(checkpoints)
        folder = write_checkpoint(
            checkpoints, state=self.state, base=self._parts.prepared.base, tensors=tensors
        )
        if self.state.best_score is not None:
            # At every save, in case that the run was killed between the best one and its mark.
            mark_best(checkpoints, step=self.state.best_score.step)
        prune_checkpoints(checkpoints, keep=self._config.checkpoint.keep)
        return sum(path.stat().st_size for path in folder.iterdir())

    def _note_save(self, *, seconds: float, num_bytes: int) -> None:
        gibibytes = num_bytes / GIBIBYTE
        values = {"checkpoint/seconds": seconds, "checkpoint/gibibytes": gibibytes}
        self._records.write(self.state, kind="checkpoint", values=values)
        folder = step_folder(self._folder.checkpoints, step=self.state.step)
        _logger.info("Saved %s: %.3g GiB in %.2f s.", folder, gibibytes, seconds)

    def _result(self, message: str, *, exit_code: int) -> RunResult:
        return RunResult(
            folder=self._folder,
            step=self.state.step,
            best_score=self.state.best_score,
            exit_code=exit_code,
            message=message,
        )
