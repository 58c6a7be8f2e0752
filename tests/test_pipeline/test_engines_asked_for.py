"""What was asked for is what is started, or nothing is."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from accelerate.commands.config.config_args import load_config_from_file
from accelerate.commands.launch import _validate_launch_command, launch_command_parser
from torch import nn

from model import ObjectiveConfig
from pipeline.config import RunConfig
from pipeline.engines.launch_request import (
    RankFacts,
    describe_places,
    read_launch_request,
    refuse_mismatch,
)
from pipeline.engines.torch_engine import TorchEngine
from pipeline.optimizer import build_optimizer
from pipeline.optimizer_config import OptimizerConfig
from pipeline.train_step import TrainingStep
from tests.support.nano_run import ACCELERATE, run_launcher
from tests.support.training_batches import NUM_IMAGES, nano_segmenter

PLACES = {
    "one_cpu": 1,
    "one_gpu": 1,
    "one_node": 8,
    "several_nodes": 16,
    "two_cpu_processes": 2,
}


def ranks(*numbers: int, device: str = "cpu") -> list[RankFacts]:
    """Return processes that take themselves for these ranks."""
    return [
        RankFacts(rank=number, num_ranks=len(numbers), host=f"node{place // 2}", device=device)
        for place, number in enumerate(numbers)
    ]


def environment(num_processes: int = 2, *, zero_stage: int | str | None = None) -> dict[str, str]:
    """Return what a launcher leaves behind."""
    found = {"WORLD_SIZE": str(num_processes), "RANK": "0", "MASTER_PORT": "1"}
    if zero_stage is not None:
        found["ACCELERATE_USE_DEEPSPEED"] = "true"
        found["ACCELERATE_DEEPSPEED_ZERO_STAGE"] = str(zero_stage)
        found["ACCELERATE_CONFIG_DS_FIELDS"] = "zero_stage,mixed_precision"
    return found


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("stage", [0, 1, 2, 3])
def test_a_launcher_file_says_what_its_name_says(place: str, stage: int) -> None:
    name = f"{place}_zero{stage}" if stage else place
    config = load_config_from_file(str(ACCELERATE / f"{name}.yaml"))
    fields = vars(config)
    assert fields["num_processes"] == PLACES[place]
    assert fields["num_machines"] == (2 if place == "several_nodes" else 1)
    assert fields["mixed_precision"] == "no"
    assert fields["deepspeed_config"].get("zero_stage", 0) == stage
    is_alone = PLACES[place] == 1
    expected = "DEEPSPEED" if stage else "NO" if is_alone else "MULTI_GPU"
    assert fields["distributed_type"].value == expected
    # Another value would be set over the user's own CUDA_VISIBLE_DEVICES.
    assert fields["gpu_ids"] in {None, "all"}
    if place == "several_nodes":
        assert fields["rdzv_backend"] == "c10d"
        # Or DeepSpeed would start the machines itself, by pdsh.
        assert fields["deepspeed_config"].get("deepspeed_multinode_launcher") == (
            "standard" if stage else None
        )


def test_there_is_no_other_launcher_file() -> None:
    names = {path.stem for path in ACCELERATE.glob("*.yaml")}
    assert names == {f"{place}{stage}" for place in PLACES for stage in ("", *_STAGES)}


_STAGES = ("_zero1", "_zero2", "_zero3")


@pytest.mark.parametrize("stage", ["", *_STAGES])
def test_files_for_gpus_start_what_files_for_cpus_start(stage: str) -> None:
    """So what is shown with these holds for those, but for the device."""
    assert started_by(f"one_gpu{stage}") == started_by(f"one_cpu{stage}")
    two = started_by(f"two_cpu_processes{stage}")
    assert started_by(f"one_node{stage}", "--num_processes", "2") == two


def started_by(name: str, *options: str) -> dict[str, Any]:
    """Return all that `accelerate launch` knows once it has read a file."""
    file = str(ACCELERATE / f"{name}.yaml")
    parsed = launch_command_parser().parse_args(["--config_file", file, *options, "script.py"])
    arguments, _, _ = _validate_launch_command(parsed)
    varying = {"config_file", "nondefault", "use_cpu", "num_cpu_threads_per_process"}
    return {key: value for key, value in vars(arguments).items() if key not in varying}


@pytest.mark.parametrize(
    ("given", "run", "found", "said"),
    [
        (environment(2), {}, ranks(0), "the launcher asks for 2 processes, 1 found each other"),
        (environment(2), {"num_processes": 3}, ranks(0, 1), "run.num_processes asks for 3 proc"),
        (environment(2), {}, ranks(0, 0), "Process 1 of 2 takes itself for rank 0 of 2"),
        (environment(2), {"engine": "zero2"}, ranks(0, 1), "run.engine=zero2, but .* for ddp"),
        (
            environment(2, zero_stage=3),
            {"engine": "zero2"},
            ranks(0, 1),
            "run.engine=zero2, but the launcher asks for zero3",
        ),
        (environment(2), {"device": "cuda"}, ranks(0, 1), "run.device=cuda, .* found cpu"),
    ],
)
def test_what_is_not_as_asked_for_stops_the_run(
    given: dict[str, str], run: dict[str, object], found: list[RankFacts], said: str
) -> None:
    request = read_launch_request(given, precision="float32")
    with pytest.raises(RuntimeError, match=said):
        refuse_mismatch(request, found, run=RunConfig(name="x", **run))  # type: ignore[arg-type]


def test_what_is_as_asked_for_goes_on() -> None:
    request = read_launch_request(environment(2, zero_stage=2), precision="float32")
    asked = RunConfig(name="x", num_processes=2, engine="zero2", device="cpu")
    refuse_mismatch(request, ranks(0, 1), run=asked)
    alone = read_launch_request({}, precision="float32")
    refuse_mismatch(alone, ranks(0), run=RunConfig(name="x", engine="ddp"))


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"ACCELERATE_DEEPSPEED_ZERO_STAGE": "0"}, "zero_stage 0: 1, 2 and 3 are supported"),
        (
            {"ACCELERATE_CONFIG_DS_FIELDS": "zero_stage,offload_optimizer_device"},
            "says offload_optimizer_device. It may name zero_stage alone",
        ),
        ({"ACCELERATE_MIXED_PRECISION": "bf16"}, "was told mixed_precision=bf16"),
        (
            {"ACCELERATE_DEEPSPEED_CONFIG_FILE": "own.json"},
            "told --deepspeed_config_file own.json, .* Leave it out",
        ),
        (
            {"ACCELERATE_DEEPSPEED_OFFLOAD_OPTIMIZER_DEVICE": "cpu"},
            "told --offload_optimizer_device cpu, .* not supported. Leave it out",
        ),
        (
            {"ACCELERATE_DEEPSPEED_OFFLOAD_PARAM_DEVICE": "nvme"},
            "told --offload_param_device nvme, .* not supported. Leave it out",
        ),
        ({"ACCELERATE_DEEPSPEED_ZERO3_INIT": "true"}, "told --zero3_init_flag true"),
        ({"ACCELERATE_DEEPSPEED_ZERO3_SAVE_16BIT_MODEL": "true"}, "--zero3_save_16bit_model true"),
        (
            {"ACCELERATE_GRADIENT_CLIPPING": "1.0"},
            "told --gradient_clipping 1.0, .* optimizer.clip_gradient_norm=",
        ),
        (
            {"ACCELERATE_GRADIENT_ACCUMULATION_STEPS": "4"},
            "told --gradient_accumulation_steps 4, .* data.micro_batch_size=",
        ),
    ],
)
def test_a_launcher_that_says_what_is_the_runs_to_say_is_refused(
    changed: dict[str, str], said: str
) -> None:
    with pytest.raises(ValueError, match=said):
        read_launch_request(environment(2, zero_stage=2) | changed, precision="float32")


def test_flags_that_ask_for_nothing_are_taken() -> None:
    harmless = {
        "ACCELERATE_DEEPSPEED_OFFLOAD_OPTIMIZER_DEVICE": "none",
        "ACCELERATE_DEEPSPEED_OFFLOAD_PARAM_DEVICE": "none",
        "ACCELERATE_DEEPSPEED_ZERO3_INIT": "false",
        "ACCELERATE_GRADIENT_ACCUMULATION_STEPS": "1",
    }
    given = environment(2, zero_stage=2) | harmless
    assert read_launch_request(given, precision="float32").zero_stage == 2


def test_several_ranks_do_not_start_without_what_averages_their_gradients() -> None:
    segmenter = nano_segmenter()
    step = TrainingStep(
        segmenter, objective=ObjectiveConfig(), global_batch_size=NUM_IMAGES, num_ranks=2
    )
    optimizer = build_optimizer(segmenter, config=OptimizerConfig())
    unwrapped: Any = SimpleNamespace(num_processes=2, prepare=_unchanged)
    with pytest.raises(RuntimeError, match=r"2 ranks, but DDP is not what .* is a TrainingStep"):
        TorchEngine(step, optimizer, accelerator=unwrapped, clip_gradient_norm=None)
    unwrapped.num_processes = 1
    TorchEngine(step, optimizer, accelerator=unwrapped, clip_gradient_norm=None)


def _unchanged(module: nn.Module) -> nn.Module:
    return module


def test_ranks_are_told_by_their_machines() -> None:
    assert describe_places(ranks(0)) == "node0: rank 0 on cpu"
    found = describe_places(ranks(0, 1, 2, 3, device="cuda"))
    assert found == "node0: ranks 0-1 on cuda; node1: ranks 2-3 on cuda"


@pytest.mark.slow
@pytest.mark.distributed
def test_a_run_that_asks_for_another_engine_ends_with_the_reason(tmp_path: Path) -> None:
    words = ["run.name=x", f"run.root={tmp_path}", "data.train=none", "model.preset=samus_tiny"]
    code, output = run_launcher([*words, "run.engine=zero2"], num_processes=2)
    assert code != 0
    assert "run.engine=zero2, but the launcher asks for ddp" in output
