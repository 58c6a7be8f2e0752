"""Run as each of two ranks: an evaluation whose rank 1 dies at its first image.

python tests/support/mortal_rank.py key=value ...
"""

import os
import signal
import sys
from typing import Any

import launchers.evaluate_checkpoint
from evaluation import SegmenterPredictor


def die(*_: Any, **__: Any) -> None:
    """End this process as the kernel does where memory is short."""
    os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    if os.environ["RANK"] == "1":
        SegmenterPredictor.predict = die  # type: ignore[method-assign]
    sys.exit(launchers.evaluate_checkpoint.main())
