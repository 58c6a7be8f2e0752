"""Options of a chain of Slurm jobs. No torch here."""

from dataclasses import dataclass, field

from omegaconf import MISSING

from pipeline.refusal import refuse_unless

STAGE_NAMES = ("pretrain", "prompt_generator", "evaluate", "export", "register")
"""In the order in which they wait for each other."""


@dataclass(kw_only=True)
class StageConfig:
    """What a stage is told, and what it asks of the cluster."""

    options: list[str] = field(default_factory=list)
    """Options of the stage's own command, as they are typed there."""

    nodes: int = 1
    """Machines."""

    gpus_per_node: int = 0
    """GPUs of each machine; each gets a process. 0 trains with one process a machine, on CPUs."""

    cpus_per_task: int | None = None
    """Processor cores of each machine, for all its processes; null takes the cluster's default."""

    minutes: int = 1440
    """Time limit. A training that reaches it is saved, queued again, and goes on."""

    def __post_init__(self) -> None:
        refuse_unless(self.nodes >= 1, "nodes", self.nodes, "at least 1")
        refuse_unless(self.gpus_per_node >= 0, "gpus_per_node", self.gpus_per_node, "0 or more")
        cores = self.cpus_per_task
        refuse_unless(cores is None or cores >= 1, "cpus_per_task", cores, "at least 1, or null")
        refuse_unless(self.minutes >= 1, "minutes", self.minutes, "at least 1")


@dataclass(kw_only=True)
class SubmitConfig:
    """A chain of Slurm jobs: pretraining, prompt generator, evaluation, export, registration."""

    name: str = MISSING
    """Name of the chain: of its folder, of its jobs, and `run.name` of the pretraining."""

    stages: list[str] = field(default_factory=lambda: ["pretrain", "evaluate", "export"])
    """Jobs of the chain: pretrain, prompt_generator, evaluate, export, register. Each starts when
    the one before it has ended well."""

    train: str | None = None
    """`data.train` of the training stages; null leaves it to their options."""

    validation: str | None = None
    """`data.validation` of the training stages; null leaves it to their options."""

    test: str | None = None
    """Held-out corpus of evaluation, export and registration; null leaves it to their options."""

    root: str = "runs"
    """Folder of the runs, `run.root`; all machines must see it."""

    folder: str = "slurm"
    """Folder of the chains, each with its scripts, logs and what has been done; all machines must
    see it."""

    register_as: str | None = None
    """Name in the MLflow registry, for the stage register; null leaves it to its options."""

    tracking_uri: str | None = None
    """MLflow server or database of runs and registry; null is `sqlite:///ROOT/mlflow.db`."""

    sweep: list[list[str]] = field(default_factory=list)
    """Sets of further options of the pretraining. Each set is a chain of its own, NAME-0, NAME-1
    and so on, and each stage an array job over them."""

    partition: str | None = None
    """Partition of the cluster; null takes its default."""

    account: str | None = None
    """Account that is charged; null takes the user's default."""

    constraint: str | None = None
    """Features that the machines must have, such as `a100`."""

    directives: list[str] = field(default_factory=list)
    """Further options of sbatch, such as `--mem=64G`, `--exclusive` or `--qos=long`."""

    environment: list[str] = field(default_factory=list)
    """Lines that each job runs first, such as `module load cuda`."""

    container: str | None = None
    """What comes before the command on each machine, such as `apptainer exec --nv FILE.sif`."""

    python: str | None = None
    """Python of the jobs; null takes the one that submits, in a container `python`."""

    accelerate: str = "several_nodes"
    """File of launchers/accelerate/ that chooses the engine: several_nodes, or
    several_nodes_zero2 for ZeRO-2."""

    grace_seconds: int = 120
    """How long before the time limit a training is told to save, and how long a machine goes on
    when another one has ended. Must be above the longest step and save."""

    max_losses: int = 3
    """How often in a row a job is queued again because a process was lost."""

    dry_run: bool = False
    """Print the scripts, write and submit nothing."""

    pretrain: StageConfig = field(default_factory=StageConfig)
    prompt_generator: StageConfig = field(default_factory=StageConfig)
    evaluate: StageConfig = field(default_factory=StageConfig)
    export: StageConfig = field(default_factory=StageConfig)
    register: StageConfig = field(default_factory=StageConfig)

    def __post_init__(self) -> None:
        in_order = [name for name in STAGE_NAMES if name in self.stages]
        refuse_unless(
            bool(self.stages) and self.stages == in_order,
            "stages",
            self.stages,
            f"some of {', '.join(STAGE_NAMES)}, in this order",
        )
        refuse_unless(
            self.register_as is None or "register" in self.stages,
            "stages",
            self.stages,
            "a list with register, as register_as is given",
        )
        is_one_name = self.name not in {"", ".", ".."} and not set("/\\ ") & set(self.name)
        refuse_unless(is_one_name, "name", self.name, "a name without slashes and spaces")
        refuse_unless(self.grace_seconds >= 1, "grace_seconds", self.grace_seconds, "at least 1")
        refuse_unless(self.max_losses >= 0, "max_losses", self.max_losses, "0 or more")
