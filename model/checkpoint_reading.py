"""From a checkpoint or a run folder to a segmenter that is ready to answer."""

from pathlib import Path

from .building import build_from_architecture
from .checkpoint_folder import ARCHITECTURE, find_checkpoint, read_json, verify_complete
from .pretrained_weights import load_weights
from .segmenter import Segmenter


def load_segmenter(
    folder: str | Path, *, base: Path | None = None, use_ema: bool = True
) -> Segmenter:
    """Rebuild a checkpoint's segmenter with its weights, on the CPU and in evaluation mode.

    Args:
        folder: A checkpoint folder, or a run folder for its best checkpoint (else its latest).
        base: The pretrained file that the run started from, where it no longer lies where it was.
        use_ema: Take the averaged weights where the checkpoint has them.
    """
    checkpoint = find_checkpoint(Path(folder))
    verify_complete(checkpoint, names={ARCHITECTURE})
    segmenter = build_from_architecture(read_json(checkpoint / ARCHITECTURE))
    load_weights(segmenter, checkpoint, base=base, use_ema=use_ema)
    return segmenter.eval()
