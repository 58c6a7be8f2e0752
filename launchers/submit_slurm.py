"""Submit a chain of Slurm jobs: `python launchers/submit_slurm.py preset=NAME name=RUN`."""

import sys
from pathlib import Path

from launchers.command_line import run_command
from launchers.pretrain import PRESETS
from pipeline.slurm.config import SubmitConfig

SLURM = Path(__file__).resolve().parent / "slurm"


def submit(config: SubmitConfig) -> None:
    """Submit pretraining, prompt generator, evaluation, export and registration as Slurm jobs."""
    from pipeline.slurm.submission import render_chain, submit_chain

    body = (SLURM / "job.sh").read_text(encoding="utf-8")
    scripts = render_chain(config, presets=PRESETS, body=body)
    said = scripts.values() if config.dry_run else submit_chain(config, scripts=scripts)
    sys.stdout.write("\n".join(said) + "\n")


def main() -> int:
    """Run the command and return its exit code."""
    words = ["dry_run=true" if word == "--dry-run" else word for word in sys.argv[1:]]
    return run_command(SubmitConfig, submit, presets=SLURM, arguments=words)


if __name__ == "__main__":
    sys.exit(main())
