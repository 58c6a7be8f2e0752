"""Convert weights: `python launchers/convert_weights.py source=sam_vit_b_01ec64.pth output=sam`."""

import sys

from launchers.command_line import run_command
from model import ConversionConfig


def convert(config: ConversionConfig) -> None:
    """Convert weights of any published layout into ours, and back into SAM's or SAMUS's."""
    from rich.console import Console

    from model import convert_weights

    done = convert_weights(config)
    Console().print(
        f"{config.output}: {done.model} from {done.report.title}, {done.num_tensors} tensors, "
        f"{len(done.report.left_out)} of the source left out",
        markup=False,
        highlight=False,
        soft_wrap=True,
    )


def main() -> int:
    """Run the command and return its exit code."""
    return run_command(ConversionConfig, convert)


if __name__ == "__main__":
    sys.exit(main())
