"""Segment one object of an image file."""

import sys

from rich.console import Console

from evaluation import PredictConfig
from launchers.command_line import run_command


def predict(config: PredictConfig) -> None:
    """Segment one object of an image, from clicks or a box; not a medical device."""
    from evaluation import segment_image_file

    console = Console()
    for result in segment_image_file(config):
        share = result.num_pixels / result.image_pixels
        console.print(
            f"{result.name}: {result.num_pixels} pixels ({share:.1%} of the image)\n"
            f"  mask     {result.mask_path}\n  overlay  {result.overlay_path}",
            markup=False,
            highlight=False,
            soft_wrap=True,
        )


def main() -> int:
    """Run the command and return its exit code."""
    return run_command(PredictConfig, predict)


if __name__ == "__main__":
    sys.exit(main())
