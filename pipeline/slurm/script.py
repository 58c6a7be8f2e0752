"""The sbatch script of a stage."""

import shlex
import sys
from pathlib import Path

from .config import SubmitConfig
from .stages import STAGES, chain_names, command_words


def chain_folder(config: SubmitConfig) -> Path:
    """Return where scripts, logs and marks of a chain are."""
    return Path(config.folder).resolve() / config.name


def job_script(config: SubmitConfig, *, stage: str, presets: Path, body: str) -> str:
    """Return the script that runs a stage.

    Args:
        config: The chain.
        stage: Name of a stage.
        presets: launchers/presets.
        body: What every job does, in bash.

    Raises:
        ValueError: An option of the stage does not fit its command.
    """
    folder = chain_folder(config)
    lines = [
        "#!/usr/bin/env bash",
        *(f"#SBATCH {directive}" for directive in _directives(config, stage=stage)),
        f"# Stage {stage} of the chain {config.name}; written by launchers/submit_slurm.py.",
        "set -euo pipefail",
        *config.environment,
        f"job={stage}{'-$SLURM_ARRAY_TASK_ID' if config.sweep else ''}",
        f"folder={shlex.quote(str(folder))}",
        f"grace_seconds={config.grace_seconds}",
        f"max_losses={config.max_losses}",
        'logs="$folder/logs/$job-$SLURM_JOB_ID-${SLURM_RESTART_COUNT:-0}"',
        *_tasks(config, stage=stage, presets=presets),
        "",
    ]
    return "\n".join(lines) + body


def _directives(config: SubmitConfig, *, stage: str) -> list[str]:
    settings = STAGES[stage].settings(config)
    log = f"{stage}-{'%A_%a' if config.sweep else '%j'}.log"
    asked = {
        "gpus-per-node": settings.gpus_per_node or None,
        "cpus-per-task": settings.cpus_per_task,
        "partition": config.partition,
        "account": config.account,
        "constraint": config.constraint,
    }
    return [
        f"--job-name={config.name}.{stage}",
        f"--chdir={shlex.quote(str(Path.cwd()))}",
        f"--output={shlex.quote(str(chain_folder(config) / 'logs' / log))}",
        "--open-mode=append",
        f"--nodes={settings.nodes}",
        "--ntasks-per-node=1",
        f"--time={settings.minutes}",
        f"--signal=B:USR2@{config.grace_seconds}",
        "--requeue",
        *(f"--{name}={value}" for name, value in asked.items() if value is not None),
        *config.directives,
    ]


def _tasks(config: SubmitConfig, *, stage: str, presets: Path) -> list[str]:
    """Return the lines that set `task`, the command on each machine."""
    tasks = [
        _task(config, stage=stage, number=number, presets=presets)
        for number in range(len(chain_names(config)))
    ]
    if not config.sweep:
        return tasks
    cases = [f"  {number}) {task} ;;" for number, task in enumerate(tasks)]
    return ['case "$SLURM_ARRAY_TASK_ID" in', *cases, "esac"]


def _task(config: SubmitConfig, *, stage: str, number: int, presets: Path) -> str:
    known, name = STAGES[stage], chain_names(config)[number]
    container = shlex.split(config.container or "")
    python = config.python or ("python" if container else sys.executable)
    words = command_words(config, stage=stage, number=number, presets=presets)
    if not known.is_distributed:
        return f"task=({shlex.join([*container, python, '-m', known.launcher, *words])})"
    node = [str(known.run(config, name)), config.accelerate, known.launcher, *words]
    start = shlex.join([*container, python, "-m", "pipeline.slurm.node"])
    return f'task=({start} "$logs" {shlex.join(node)})'
