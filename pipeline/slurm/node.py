"""Start the ranks of one machine of a Slurm job, and tell the job how they ended.

    srun python -m pipeline.slurm.node LOGS RUN ACCELERATE MODULE key=value ...

One task a machine; all counts come from Slurm. srun ends with the highest exit code of all
machines, so the codes are ordered: what must not be tried again wins.
"""

import argparse
import logging
import os
import signal
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from pipeline.refusal import LOST_RANK

SAVED = 75
"""All ranks saved after a signal: go on (`EX_TEMPFAIL`)."""

LOST = 76
"""A rank died or hung: go on, but not for ever."""

GIVE_UP = 78
"""The same would happen again: an option or a file is wrong (`EX_CONFIG`)."""

_SAVED_AFTER = {128 + one for one in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR2)}
"""Exit codes of a rank that saved after a signal."""

_FIRST_PORT, _NUM_PORTS = 20_000, 10_000
"""Below those that the system gives to connections."""

_ACCELERATE = Path(__file__).resolve().parents[2] / "launchers" / "accelerate"

_logger = logging.getLogger(__name__)


def main() -> int:
    """Run the ranks of this machine to their end, and return the exit code of the task."""
    logging.basicConfig(
        level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s", datefmt="%H:%M:%S"
    )
    logs, run, accelerate, *command = sys.argv[1:]
    # Seconds that whoever only wants the exit codes need not wait for.
    from accelerate.commands.launch import launch_command_parser  # noqa: PLC0415

    words = launch_words(os.environ, logs=logs, accelerate=accelerate, command=command)
    arguments = launch_command_parser().parse_args(words)
    # Accelerate hands these on to torchrun, though it has no options of these names.
    arguments.rdzv_endpoint = rendezvous_endpoint(os.environ)
    arguments.rdzv_id = rendezvous_id(os.environ)
    os.environ["TORCHELASTIC_LOG_LINE_PREFIX_TEMPLATE"] = "[rank ${rank}] "
    return _launch(arguments, run=Path(run))


def launch_words(
    slurm: Mapping[str, str], *, logs: str, accelerate: str, command: Sequence[str]
) -> list[str]:
    """Return the options of `accelerate launch` on this machine.

    Args:
        slurm: The environment of the task.
        logs: Folder of this start's logs.
        accelerate: Name of a file of launchers/accelerate/.
        command: Module and options of the command.
    """
    num_machines, machine = int(slurm["SLURM_NNODES"]), int(slurm["SLURM_NODEID"])
    options = {
        "config_file": _ACCELERATE / f"{accelerate}.yaml",
        "num_machines": num_machines,
        "num_processes": num_processes(slurm),
        "machine_rank": machine,
        "main_process_ip": slurm["SLURM_LAUNCH_NODE_IPADDR"],
        "main_process_port": 0,  # torchrun's own rendezvous is what counts
        "rdzv_backend": "c10d",
        # Machines of a large job start minutes apart.
        "rdzv_conf": f"is_host={int(machine == 0)},read_timeout=300",
        "tee": 3,
        "log_dir": f"{logs}/node-{machine}",
    }
    module, *words = command
    flags = ["--same_network", "--module"]
    return [*(f"--{name}={value}" for name, value in options.items()), *flags, module, *words]


def num_processes(slurm: Mapping[str, str]) -> int:
    """Return the ranks of the job: one for each GPU, without GPUs one for each machine."""
    return int(slurm["SLURM_NNODES"]) * int(slurm.get("SLURM_GPUS_ON_NODE", "1"))


def rendezvous_endpoint(slurm: Mapping[str, str]) -> str:
    """Return where the machines meet: on the first one, where the script calls srun."""
    port = _FIRST_PORT + int(slurm["SLURM_JOB_ID"]) % _NUM_PORTS
    return f"{slurm['SLURM_LAUNCH_NODE_IPADDR']}:{port}"


def rendezvous_id(slurm: Mapping[str, str]) -> str:
    """Return an id that no other start has: ranks of an earlier one may still be ending."""
    return f"{slurm['SLURM_JOB_ID']}-{slurm.get('SLURM_RESTART_COUNT', '0')}"


def verdict(exit_codes: Iterable[int]) -> int:
    """Return the exit code of a task by those of its failed ranks; -N was killed by signal N."""
    return max(_verdict_of_one(code) for code in exit_codes)


def _verdict_of_one(code: int) -> int:
    if code in _SAVED_AFTER:
        return SAVED
    return LOST if code < 0 or code == LOST_RANK else GIVE_UP


def _launch(arguments: argparse.Namespace, *, run: Path) -> int:
    from accelerate.commands.launch import launch_command  # noqa: PLC0415
    from torch.distributed.elastic.multiprocessing.api import SignalException  # noqa: PLC0415
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError  # noqa: PLC0415

    from pipeline.run_folder.rank_progress import describe_ranks  # noqa: PLC0415

    began = time.time()
    try:
        launch_command(arguments)
    except ChildFailedError as error:
        ends = {rank: failure.exitcode for rank, failure in error.failures.items()}
        code = verdict(ends.values())
        if code == LOST:
            _logger.error(  # noqa: TRY400 -- the ranks have their own tracebacks
                "%s. %s",
                "; ".join(f"rank {rank} {_words_for(end)}" for rank, end in sorted(ends.items())),
                describe_ranks(run, num_ranks=num_processes(os.environ), since=began),
            )
        return code
    except SignalException as error:
        _logger.warning("The launcher of this machine was ended by %s.", error.sigval.name)
        return LOST
    return 0


def _words_for(exit_code: int) -> str:
    if exit_code < 0:
        return f"was killed by {signal.Signals(-exit_code).name}"
    return f"ended with exit code {exit_code}"


if __name__ == "__main__":
    sys.exit(main())
