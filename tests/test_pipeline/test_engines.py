"""DDP and ZeRO, on one process and two, are one training, and write one kind of checkpoint."""

import json
from pathlib import Path

import pytest
from safetensors import safe_open

from tests.support.engine_launch import Launch, launch_engine
from tests.support.engine_rank import FEW_STEPS, FIRST_SAVE, LAST_STEP, MODELS

ENGINES = {
    "one_cpu": ("one process", 1),
    "one_cpu_zero1": ("ZeRO-1 over gloo", 1),
    "one_cpu_zero2": ("ZeRO-2 over gloo", 1),
    "one_cpu_zero3": ("ZeRO-3 over gloo", 1),
    "two_cpu_processes": ("DDP over gloo", 2),
    "two_cpu_processes_zero1": ("ZeRO-1 over gloo", 2),
    "two_cpu_processes_zero2": ("ZeRO-2 over gloo", 2),
    "two_cpu_processes_zero3": ("ZeRO-3 over gloo", 2),
}
"""File of launchers/accelerate/, and what it starts."""

NUM_STEPS = 50
TAKE_ALL_STEPS = {
    *("one_cpu", "two_cpu_processes", "two_cpu_processes_zero1", "two_cpu_processes_zero2"),
}
"""The others take few, with SAMUS alone: ZeRO on one process parts nothing, and ZeRO-3 is slow."""

pytestmark = [pytest.mark.slow, pytest.mark.distributed]


@pytest.fixture(scope="module")
def launches(nano_corpora: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Launch]:
    """Every file once, each going on from the checkpoint of the one before, too."""
    root = tmp_path_factory.mktemp("engines")
    found: dict[str, Launch] = {}
    before: Path | None = None
    for file in ENGINES:
        found[file] = launch_engine(
            file,
            folder=root / file,
            corpora=nano_corpora,
            num_steps=NUM_STEPS if file in TAKE_ALL_STEPS else FEW_STEPS,
            foreign=before,
        )
        before = root / file / "whole"
    return found


@pytest.mark.parametrize("file", ENGINES)
def test_a_launcher_file_starts_the_engine_that_it_names(
    file: str, launches: dict[str, Launch]
) -> None:
    engine, num_ranks = ENGINES[file]
    found = [(rank["engine"], rank["num_ranks"]) for rank in launches[file].ranks]
    assert found == [(engine, num_ranks)] * num_ranks


@pytest.mark.parametrize(
    ("file", "preset"),
    [
        (file, preset)
        for file in list(ENGINES)[1:]
        for preset in (MODELS if file in TAKE_ALL_STEPS else ["samus_tiny"])
    ],
)
def test_every_engine_takes_the_steps_of_one_process(
    file: str, preset: str, launches: dict[str, Launch]
) -> None:
    """With frozen parts, boxes beside clicks, empty images, clipping, and accumulated by ZeRO."""
    alone = launches["one_cpu"].ranks[0]["steps"][preset]
    assert alone["num_frozen"] > 0
    assert max(alone["norms"]) > 0.05  # clipping bites
    for rank in launches[file].ranks:
        steps = rank["steps"][preset]
        num_steps = len(steps["losses"])
        assert num_steps == (NUM_STEPS if file in TAKE_ALL_STEPS else FEW_STEPS)
        assert steps["losses"] == pytest.approx(alone["losses"][:num_steps], abs=1e-5)
        # Rounding grows from step to step, and a gradient shows it sooner than a loss.
        first = slice(0, min(num_steps, 6))
        assert steps["norms"][first] == pytest.approx(alone["norms"][first], rel=1e-3)


@pytest.mark.parametrize("file", ENGINES)
def test_a_gradient_that_is_not_finite_moves_no_weight_of_any_rank(
    file: str, launches: dict[str, Launch]
) -> None:
    for rank in launches[file].ranks:
        for steps in rank["steps"].values():
            assert "gradient of step 51 is not finite" in steps["poisoned"]["message"]
            assert steps["poisoned"]["is_unmoved"]


@pytest.mark.parametrize("stage", [1, 2, 3])
def test_zero_keeps_half_of_the_moments_on_each_of_two_ranks(
    stage: int, launches: dict[str, Launch]
) -> None:
    (whole, *_) = (rank["steps"]["samus_tiny"] for rank in launches["two_cpu_processes"].ranks)
    assert whole["num_moments"] == whole["num_trainable"]
    for rank in launches[f"two_cpu_processes_zero{stage}"].ranks:
        steps = rank["steps"]["samus_tiny"]
        assert steps["num_trainable"] == whole["num_trainable"]
        assert steps["num_moments"] < 0.51 * whole["num_moments"]
        # Of stage 3 alone the weights themselves are parted, but for small ones.
        is_parted = steps["num_held"] < 0.5 * whole["num_held"]
        assert is_parted == (stage == 3)


@pytest.mark.parametrize("file", list(ENGINES)[1:])
def test_bfloat16_keeps_float32_weights_and_is_alike(
    file: str, launches: dict[str, Launch]
) -> None:
    alone = launches["one_cpu"].ranks[0]["bfloat16"]
    in_float32 = launches["one_cpu"].ranks[0]["steps"]["samus_tiny"]
    assert alone["losses"] != in_float32["losses"][:FEW_STEPS]
    for rank in launches[file].ranks:
        assert rank["bfloat16"]["dtypes"] == ["torch.float32"]
        assert rank["bfloat16"]["losses"] == pytest.approx(alone["losses"], abs=1e-3)


@pytest.mark.parametrize("file", ENGINES)
def test_a_run_goes_on_bit_for_bit_on_the_same_engine(
    file: str, launches: dict[str, Launch]
) -> None:
    for rank in launches[file].ranks:
        assert len(rank["whole"]) == LAST_STEP - FIRST_SAVE
        assert rank["again"] == rank["whole"]
    last = f"checkpoints/step-{LAST_STEP:08d}"
    for name in ("weights", "optimizer", "ema"):
        one, other = (
            (launches[file].folder / run / last / f"{name}.safetensors").read_bytes()
            for run in ("whole", "again")
        )
        assert one == other, name


@pytest.mark.parametrize(("saved_by", "file"), list(zip(ENGINES, list(ENGINES)[1:], strict=False)))
def test_a_run_goes_on_under_another_engine(
    saved_by: str, file: str, launches: dict[str, Launch]
) -> None:
    for rank in launches[file].ranks:
        expected = launches[saved_by].ranks[0]["whole"]
        losses = [loss for loss, _ in rank["foreign"]]
        assert losses == pytest.approx([loss for loss, _ in expected], abs=1e-6)


def test_checkpoints_of_all_engines_name_the_same_tensors(launches: dict[str, Launch]) -> None:
    """So whatever one engine goes on from, it goes on from all."""
    described = [_describe(one.folder / "whole", step=FIRST_SAVE) for one in launches.values()]
    assert all(one == described[0] for one in described[1:])


def _describe(run: Path, *, step: int) -> dict[str, dict[str, tuple[list[int], str]]]:
    described = {}
    for path in sorted((run / f"checkpoints/step-{step:08d}").glob("*.safetensors")):
        with safe_open(path, framework="pt") as tensors:
            slices = {name: tensors.get_slice(name) for name in tensors.keys()}  # noqa: SIM118
            described[path.name] = {
                name: (one.get_shape(), one.get_dtype()) for name, one in slices.items()
            }
    return described


def test_every_save_is_timed_and_weighed(launches: dict[str, Launch]) -> None:
    for one in launches.values():
        lines = (one.folder / "whole" / "metrics.jsonl").read_text().splitlines()
        rows = [row for row in map(json.loads, lines) if row["kind"] == "checkpoint"]
        assert [row["step"] for row in rows] == [4, 8, 12, 14]
        assert all(row["checkpoint/seconds"] > 0 for row in rows)
        assert all(0.001 < row["checkpoint/gibibytes"] < 0.1 for row in rows)
