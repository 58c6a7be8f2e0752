"""Look at this machine as a training run would, and say what is wrong and what to do."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from launchers.command_line import run_command
from pipeline.doctor_config import DoctorConfig

if TYPE_CHECKING:
    from pipeline.diagnosis import Finding

STYLES = {"ok": "green", "note": "yellow", "wrong": "bold red"}
GIBIBYTE = 1024**3


def doctor(config: DoctorConfig) -> int:
    """Look at versions, devices, engines, data and tracking, estimate memory, run a dry step."""
    from pipeline.diagnosis import diagnose_data, diagnose_machine, diagnose_tracking

    findings = diagnose_machine(Path(config.folder))
    if config.data is not None:
        findings.append(diagnose_data(config.data))
    if config.tracking_uri is not None:
        findings.append(diagnose_tracking(config.tracking_uri))
    findings.extend(_measure(config))
    _show(findings)
    return int(any(finding.state == "wrong" for finding in findings))


def _measure(config: DoctorConfig) -> "list[Finding]":
    from pipeline.diagnosis import Finding, diagnose_estimate
    from pipeline.memory_estimate import build_dry_step, estimate_memory, time_dry_step

    step = build_dry_step(config)
    memory = estimate_memory(step, config=config)
    parts = ", ".join(
        f"{name} {getattr(memory, name) / GIBIBYTE:.2f}"
        for name in ("weights", "gradients", "optimizer", "activations")
    )
    what = f"{config.preset}, {config.micro_batch_size} images x {config.objects_per_image} objects"
    estimate = f"{what}: {memory.total / GIBIBYTE:.2f} GiB a process ({parts})"
    findings = [diagnose_estimate(memory.total, what=estimate)]
    if config.dry_step and findings[0].state == "wrong":
        found = "left out, as it would not fit into memory"
        findings.append(Finding(topic="dry step", state="note", found=found))
    elif config.dry_step:
        seconds = time_dry_step(step, config=config)
        found = f"{what}: {seconds:.2f} s on the CPU"
        findings.append(Finding(topic="dry step", state="ok", found=found))
    return findings


def _show(findings: "list[Finding]") -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table("", "found", "what to do", title="samuspretrain doctor", title_justify="left")
    for finding in findings:
        style = STYLES[finding.state]
        table.add_row(f"[{style}]{finding.topic}[/]", f"{finding.found}", f"{finding.remedy}")
    Console().print(table)


def main() -> int:
    """Run the command line."""
    return run_command(DoctorConfig, doctor)


if __name__ == "__main__":
    sys.exit(main())
