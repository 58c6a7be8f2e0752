"""Plan a run on many GPUs: `python launchers/plan_run.py save_seconds=12`."""

import sys

from launchers.command_line import run_command
from pipeline.run_planning_config import RunPlanConfig


def plan_run(config: RunPlanConfig) -> None:
    """Print how often a run on so many GPUs should save, and what it reads and writes."""
    from pipeline.run_planning import plan_table

    sys.stdout.write(plan_table(config))


def main() -> int:
    """Run the command and return its exit code."""
    return run_command(RunPlanConfig, plan_run)


if __name__ == "__main__":
    sys.exit(main())
