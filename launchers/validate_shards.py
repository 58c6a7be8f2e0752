"""Check every member, checksum and count of a corpus."""

import sys

from rich.console import Console

from launchers.command_line import run_command
from shards import ValidateConfig, corpus_urls, validate_corpus


def validate(config: ValidateConfig) -> int:
    """Check every member, checksum and count of a corpus; the exit code is 1 with findings."""
    console = Console(soft_wrap=True)
    findings = validate_corpus(config.url)
    for finding in findings[: config.max_findings]:
        console.print(f"{finding.where}: {finding.what}", markup=False)
    num_corpora = len(corpus_urls(config.url))
    console.print(f"{config.url}: {len(findings)} findings in {num_corpora} corpora", markup=False)
    return 1 if findings else 0


def main() -> int:
    """Run the command and return its exit code."""
    return run_command(ValidateConfig, validate)


if __name__ == "__main__":
    sys.exit(main())
