"""Submit a chain of Slurm jobs: what has neither been done nor is on its way."""

import json
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from .config import SubmitConfig
from .script import chain_folder, job_script
from .stages import chain_names

JOBS = "jobs.json"
"""The job of every chain in every stage, as it was last submitted: `{"pretrain": {"0": "17"}}`."""


def render_chain(config: SubmitConfig, *, presets: Path, body: str) -> dict[str, str]:
    """Return the script of every stage.

    Args:
        config: The chain.
        presets: launchers/presets.
        body: What every job does, in bash.

    Raises:
        ValueError: An option of a stage does not fit its command.
    """
    return {
        stage: job_script(config, stage=stage, presets=presets, body=body)
        for stage in config.stages
    }


def submit_chain(config: SubmitConfig, *, scripts: Mapping[str, str]) -> list[str]:
    """Write the scripts and submit what failed or was never submitted.

    Returns:
        Lines that say what became of each stage.

    Raises:
        RuntimeError: There is no Slurm, or it refuses a job.
    """
    if shutil.which("sbatch") is None:
        raise RuntimeError(
            "There is no sbatch on this machine. Run the command on a login node of the cluster, "
            "or with dry_run=true to see the scripts."
        )
    folder = chain_folder(config)
    (folder / "logs").mkdir(parents=True, exist_ok=True)
    for stage, text in scripts.items():
        (folder / f"{stage}.sbatch").write_text(text, encoding="utf-8")
    queued = _queued_jobs()
    lines: list[str] = []
    before: dict[int, str] = {}
    for stage in scripts:
        before, said = _submit_stage(config, stage=stage, before=before, queued=queued)
        lines += said
    return lines


def _submit_stage(
    config: SubmitConfig, *, stage: str, before: Mapping[int, str], queued: set[str]
) -> tuple[dict[int, str], list[str]]:
    """Submit what is missing of a stage.

    Args:
        config: The chain.
        stage: Name of the stage.
        before: Jobs of the stage before that are on their way, by the number of their chain.
        queued: All jobs of this user that are.

    Returns:
        The jobs of this stage that are on their way now, and what to tell the user.
    """
    folder = chain_folder(config)
    known = _read_jobs(folder).get(stage, {})
    undone = [
        number
        for number in range(len(chain_names(config)))
        if not (folder / "done" / (f"{stage}-{number}" if config.sweep else stage)).exists()
    ]
    if not undone:
        return {}, [f"{stage}: done (delete {folder / 'done' / stage}* to do it again)"]
    waiting = {number: known[number] for number in undone if known.get(number) in queued}
    lines = [f"{stage}: on its way as {', '.join(waiting.values())}"] if waiting else []
    for after, numbers in _by_dependency(set(undone) - set(waiting), before=before).items():
        job = _sbatch(config, stage=stage, after=after, numbers=numbers)
        waiting |= {number: f"{job}_{number}" if config.sweep else job for number in numbers}
        _note_jobs(folder, stage=stage, jobs=known | waiting)
        which = f" of {', '.join(chain_names(config)[number] for number in numbers)}"
        then = f", after {after}" if after else ""
        lines.append(f"{stage}: submitted as {job}{which if config.sweep else ''}{then}")
    return waiting, lines


def _by_dependency(numbers: set[int], *, before: Mapping[int, str]) -> dict[str | None, list[int]]:
    """Return the chains by the job, or array of jobs, that they wait for."""
    groups: dict[str | None, list[int]] = {}
    for number in sorted(numbers):
        job = before.get(number)
        groups.setdefault(job.partition("_")[0] if job else None, []).append(number)
    return groups


def _sbatch(config: SubmitConfig, *, stage: str, after: str | None, numbers: Sequence[int]) -> str:
    """Submit a stage and return the number of its job."""
    words = ["sbatch", "--parsable"]
    if config.sweep:
        words.append(f"--array={','.join(map(str, numbers))}")
    if after is not None:
        kind = "aftercorr" if config.sweep else "afterok"
        words += [f"--dependency={kind}:{after}", "--kill-on-invalid-dep=yes"]
    answer = _ask([*words, str(chain_folder(config) / f"{stage}.sbatch")], what=f"Stage {stage}")
    return answer.strip().partition(";")[0]  # of several clusters, it names the one


def _queued_jobs() -> set[str]:
    """Return this user's jobs that have not ended, the elements of arrays one by one."""
    words = ["squeue", "--me", "--noheader", "--array", "--format=%i"]
    return set(_ask(words, what="The queue").split())


def _ask(words: Sequence[str], *, what: str) -> str:
    answer = subprocess.run(words, capture_output=True, text=True, check=False)
    if answer.returncode:
        raise RuntimeError(f"{what}: Slurm refuses `{' '.join(words)}`: {answer.stderr.strip()}")
    return answer.stdout


def _read_jobs(folder: Path) -> dict[str, dict[int, str]]:
    path = folder / JOBS
    content = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    return {
        stage: {int(number): job for number, job in jobs.items()} for stage, jobs in content.items()
    }


def _note_jobs(folder: Path, *, stage: str, jobs: Mapping[int, str]) -> None:
    content = _read_jobs(folder) | {stage: dict(jobs)}
    (folder / JOBS).write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
