"""Turn a raw dataset into corpora of tar shards."""

import sys

from launchers.command_line import run_command
from shards import BuildConfig, build_corpora


def build(config: BuildConfig) -> None:
    """Turn a raw dataset into corpora of tar shards: OUTPUT/{train,validation,test}."""
    build_corpora(config)


def main() -> int:
    """Run the command and return its exit code."""
    return run_command(BuildConfig, build)


if __name__ == "__main__":
    sys.exit(main())
