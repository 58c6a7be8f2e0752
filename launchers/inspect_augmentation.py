"""Draw what each augmentation does to images of a corpus."""

import logging
import sys
from pathlib import Path

from launchers.command_line import run_command
from pipeline.augmentation.config import InspectAugmentationConfig

_logger = logging.getLogger(__name__)


def inspect_augmentation(config: InspectAugmentationConfig) -> None:
    """Draw a PNG with a row per augmentation and a column per image."""
    from pipeline.augmentation.sheet import draw_augmentation_sheet
    from shards import open_corpus

    sheet = draw_augmentation_sheet(open_corpus(config.url), config)
    path = Path(config.sheet)
    path.parent.mkdir(parents=True, exist_ok=True)
    sheet.save(path, format="PNG", optimize=True)
    _logger.info("%s: %d x %d pixels", path, *sheet.size)


def main() -> int:
    """Run the command line."""
    return run_command(InspectAugmentationConfig, inspect_augmentation)


if __name__ == "__main__":
    sys.exit(main())
