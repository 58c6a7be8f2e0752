"""What a run must remember to go on: `run_state.json` of a checkpoint."""

import dataclasses
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from shards import describe_stream_differences

RUN_STATE = "run_state.json"

FORMAT_VERSION = 1


@dataclass(frozen=True, kw_only=True)
class RunIdentity:
    """What makes a run this run. None of it can change on resume."""

    stream: dict[str, Any]
    """What decides the sample order: `StreamPlan.identity`, and `global_batch_size`."""

    architecture: dict[str, Any]
    """As in `architecture.json`."""

    base_sha256: str | None
    """The frozen base, or none."""

    def differences(self, present: "RunIdentity") -> list[str]:
        """Return one phrase for each part in which the run that starts differs from this one."""
        phrases = describe_stream_differences(self.stream, present.stream)
        if self.architecture != present.architecture:
            phrases.append(
                "the architecture (model.preset, model.overrides, model.categories) was "
                f"{json.dumps(self.architecture)}, is {json.dumps(present.architecture)}"
            )
        if self.base_sha256 != present.base_sha256:
            phrases.append(
                f"model.base had the sha256 {self.base_sha256}, has {present.base_sha256}"
            )
        return phrases


@dataclass(frozen=True, kw_only=True)
class BestScore:
    """The best validation so far."""

    name: str
    value: float
    step: int


@dataclass(kw_only=True)
class RunState:
    """Where a run stands."""

    identity: RunIdentity
    step: int = 0
    """Optimizer steps taken."""

    elapsed_seconds: float = 0.0
    """Time spent so far, over all its parts; `run.max_minutes` counts it."""

    best_score: BestScore | None = None
    validated_step: int | None = None
    """Step of the latest validation that came to its end."""

    mlflow_run_id: str | None = None
    metrics: dict[str, float] = field(default_factory=dict)
    """Latest validation, for whoever lists runs."""

    @property
    def samples_consumed(self) -> int:
        """Position in the stream: the one integer that resuming needs."""
        return self.step * self.identity.stream["global_batch_size"]

    def write(self, folder: Path) -> None:
        """Write `run_state.json` into a checkpoint folder."""
        content = {
            "format_version": FORMAT_VERSION,
            "samples_consumed": self.samples_consumed,
            **dataclasses.asdict(self),
        }
        (folder / RUN_STATE).write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def read_run_state(folder: Path) -> RunState:
    """Read the state that a checkpoint holds.

    Raises:
        ValueError: The file is damaged, or of a newer format.
    """
    path = folder / RUN_STATE
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        version = content.pop("format_version")
        if version > FORMAT_VERSION:
            raise ValueError(
                f"{path}: format version {version}, this program reads up to {FORMAT_VERSION}. "
                "Update the program."
            )
        content.pop("samples_consumed")
        best = content.pop("best_score")
        return RunState(
            identity=RunIdentity(**content.pop("identity")),
            best_score=None if best is None else BestScore(**best),
            **content,
        )
    except (KeyError, TypeError, AttributeError, json.JSONDecodeError) as error:
        raise ValueError(
            f"{path}: not a run state ({error}). The checkpoint is damaged: delete its folder to "
            "resume from the one before."
        ) from error
