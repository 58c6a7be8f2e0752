"""Look for what corpora share, leak and mislabel."""

import sys
from pathlib import Path

from rich.console import Console

from launchers.command_line import run_command
from shards.audit import EXCLUDED_NAME, AuditConfig, audit_corpora


def audit(config: AuditConfig) -> int:
    """Look for duplicates, leaks and outliers in corpora; the exit code is 1 with leaks."""
    console = Console(soft_wrap=True)
    found = audit_corpora(config)
    for what, count in found.counts().items():
        console.print(f"{count:>9,}  {what}", markup=False, highlight=False)
    console.print(f"report: {Path(config.output) / 'audit.html'}", markup=False)
    if found.is_blessed:
        console.print("no leak between splits was found")
        return 0
    console.print(f"{len(found.leaks)} leaks between splits: not fit for training and test")
    remedy = "list the training images to leave out with remove=training"
    if config.remove == "training":
        listed = Path(config.output) / EXCLUDED_NAME
        remedy = f"leave out {len(found.removed)} images: build again with excluded={listed}"
    console.print(remedy, markup=False)
    return 1


def main() -> int:
    """Run the command and return its exit code."""
    return run_command(AuditConfig, audit)


if __name__ == "__main__":
    sys.exit(main())
