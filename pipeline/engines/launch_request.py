"""What the launcher was asked for, and whether that is what came of it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pipeline.config import RunConfig

_FIELDS_OF_DEEPSPEED = {"zero_stage", "deepspeed_multinode_launcher", "mixed_precision"}
"""What a file of launchers/accelerate/ may say to DeepSpeed; the rest are options of the run."""

_NO_OFFLOADING = "offloading is not supported"
_WHOLE_FIRST = "every rank first builds the model whole, and checkpoints are float32"
_FLAGS_OF_DEEPSPEED = {
    "ACCELERATE_DEEPSPEED_CONFIG_FILE": (
        "deepspeed_config_file",
        "",
        "the files of launchers/accelerate/ are all there is to choose",
    ),
    "ACCELERATE_DEEPSPEED_OFFLOAD_OPTIMIZER_DEVICE": (
        "offload_optimizer_device",
        "none",
        _NO_OFFLOADING,
    ),
    "ACCELERATE_DEEPSPEED_OFFLOAD_PARAM_DEVICE": ("offload_param_device", "none", _NO_OFFLOADING),
    "ACCELERATE_DEEPSPEED_ZERO3_INIT": ("zero3_init_flag", "false", _WHOLE_FIRST),
    "ACCELERATE_DEEPSPEED_ZERO3_SAVE_16BIT_MODEL": (
        "zero3_save_16bit_model",
        "false",
        _WHOLE_FIRST,
    ),
    "ACCELERATE_GRADIENT_CLIPPING": (
        "gradient_clipping",
        "",
        "it is the run's optimizer.clip_gradient_norm=",
    ),
    "ACCELERATE_GRADIENT_ACCUMULATION_STEPS": (
        "gradient_accumulation_steps",
        "1",
        "it follows from data.global_batch_size= and data.micro_batch_size=",
    ),
}
"""What a flag of `accelerate launch` leaves in the environment: its name, the value with which it
asks for nothing, and why it is not followed."""


@dataclass(frozen=True, kw_only=True)
class LaunchRequest:
    """What `accelerate launch` or `torchrun` left in the environment of a process."""

    num_processes: int | None
    """None where the process was started without either."""

    rank: int | None
    zero_stage: int
    """0 is DDP, or one process."""

    @property
    def engine(self) -> str:
        """As `run.engine` names it."""
        return f"zero{self.zero_stage}" if self.zero_stage else "ddp"


@dataclass(frozen=True, kw_only=True)
class RankFacts:
    """What a process found out about itself."""

    rank: int
    num_ranks: int
    host: str
    device: str
    """`cpu` or `cuda`."""


def read_launch_request(environment: Mapping[str, str], *, precision: str) -> LaunchRequest:
    """Read what was asked for.

    Args:
        environment: Of this process.
        precision: `precision`, to compare with what the launcher was told.

    Raises:
        RuntimeError: The launcher is known to have started less than it was asked for.
        ValueError: It was told something that is the run's to say.
    """
    if "MASTER_PORT" in environment and "WORLD_SIZE" not in environment:
        raise RuntimeError(
            "The launcher was asked for several processes and started one: accelerate does that "
            "with --cpu and with distributed_type MULTI_CPU. Use --config_file "
            "launchers/accelerate/two_cpu_processes.yaml, or torchrun --nproc_per_node 2."
        )
    told = environment.get("ACCELERATE_MIXED_PRECISION", "no")
    expected = {"no": "float32", "bf16": "bfloat16"}.get(told)
    if told != "no" and expected != precision:
        raise ValueError(
            f"accelerate launch was told mixed_precision={told}, the run precision={precision}. "
            "Leave it out of the launcher and set precision= alone."
        )
    zero_stage = _read_zero_stage(environment)
    _refuse_flags_of_deepspeed(environment)
    num_processes, rank = environment.get("WORLD_SIZE"), environment.get("RANK")
    return LaunchRequest(
        num_processes=None if num_processes is None else int(num_processes),
        rank=None if rank is None else int(rank),
        zero_stage=zero_stage,
    )


def refuse_mismatch(request: LaunchRequest, ranks: Sequence[RankFacts], *, run: RunConfig) -> None:
    """Refuse to train when what came is not what was asked for.

    Args:
        request: What the launcher was asked for.
        ranks: What the ranks that found each other say, in the order of the group.
        run: What the user asked for.

    Raises:
        RuntimeError: The message says what differs, and which file to use.
    """
    remedy = (
        "Check the --config_file of accelerate launch (launchers/accelerate/ has working ones)."
    )
    asked = {"the launcher": request.num_processes, "run.num_processes": run.num_processes}
    for who, number in asked.items():
        if number is not None and number != len(ranks):
            raise RuntimeError(
                f"{who} asks for {number} processes, {len(ranks)} found each other. {remedy}"
            )
    if run.engine not in {"any", request.engine}:
        raise RuntimeError(
            f"run.engine={run.engine}, but the launcher asks for {request.engine}. {remedy}"
        )
    for place, facts in enumerate(ranks):
        if (facts.rank, facts.num_ranks) != (place, len(ranks)):
            raise RuntimeError(
                f"Process {place} of {len(ranks)} takes itself for rank {facts.rank} of "
                f"{facts.num_ranks}: ranks would write over each other. {remedy}"
            )
    devices = {facts.device for facts in ranks}
    if run.device != "any" and devices != {run.device}:
        raise RuntimeError(
            f"run.device={run.device}, but the ranks found {', '.join(sorted(devices))}. Look at "
            "the driver and CUDA_VISIBLE_DEVICES of every machine, or take the option out."
        )


def describe_places(ranks: Sequence[RankFacts]) -> str:
    """Return which ranks run where, such as `node1: 0-7 on cuda; node2: 8-15 on cuda`."""
    by_place: dict[tuple[str, str], list[int]] = {}
    for facts in ranks:
        by_place.setdefault((facts.host, facts.device), []).append(facts.rank)
    return "; ".join(
        f"{host}: {_as_range(numbers)} on {device}" for (host, device), numbers in by_place.items()
    )


def _as_range(numbers: Sequence[int]) -> str:
    first, last = numbers[0], numbers[-1]
    if len(numbers) == 1:
        return f"rank {first}"
    is_range = last - first + 1 == len(numbers)
    return f"ranks {first}-{last}" if is_range else f"ranks {', '.join(map(str, numbers))}"


def _refuse_flags_of_deepspeed(environment: Mapping[str, str]) -> None:
    """Refuse what was typed beside the file: a run would go on without a word, and without it."""
    for variable, (flag, nothing, reason) in _FLAGS_OF_DEEPSPEED.items():
        value = environment.get(variable, nothing)
        if value != nothing:
            raise ValueError(
                f"accelerate launch was told --{flag} {value}, which the run does not follow: "
                f"{reason}. Leave it out."
            )


def _read_zero_stage(environment: Mapping[str, str]) -> int:
    if environment.get("ACCELERATE_USE_DEEPSPEED", "false") != "true":
        return 0
    given = set(environment.get("ACCELERATE_CONFIG_DS_FIELDS", "").split(",")) - {""}
    unknown = sorted(given - _FIELDS_OF_DEEPSPEED)
    if unknown:
        raise ValueError(
            f"The launcher's deepspeed_config says {', '.join(unknown)}. It may name zero_stage "
            "alone: clipping, accumulation and precision are options of the run, and offloading is "
            "not supported."
        )
    stage = environment.get("ACCELERATE_DEEPSPEED_ZERO_STAGE", "none given")
    if stage not in {"1", "2", "3"}:
        raise ValueError(
            f"The launcher's deepspeed_config has zero_stage {stage}: 1, 2 and 3 are supported. "
            "Without partitions, use DDP (launchers/accelerate/one_node.yaml)."
        )
    return int(stage)
