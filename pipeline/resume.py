"""What a run starts from: its own latest whole checkpoint, if it has one that fits."""

import logging
from pathlib import Path

from model import COMPLETE, verify_complete

from .checkpoint import step_folders
from .run_folder.state import RunIdentity, RunState, read_run_state

DAMAGED = "COMPLETE.damaged"
"""Name of the marker of a checkpoint that was passed over."""

_logger = logging.getLogger(__name__)


def checkpoint_to_resume(checkpoints: Path) -> Path | None:
    """Return the newest whole checkpoint, or None for a run that has none yet.

    One whose writing was interrupted, or whose files are no longer what was written, is passed over
    with a word: the run then repeats the steps after the one before, and ends the same. A damaged
    one loses its marker, so that it never counts as one of the whole ones that are kept.

    Raises:
        ValueError: There are finished checkpoints, and every one of them is damaged.
    """
    damaged: dict[Path, str] = {}
    for folder in reversed(step_folders(checkpoints)):
        if not (folder / COMPLETE).is_file():
            _logger.warning("%s has no COMPLETE marker, so it is no whole checkpoint.", folder)
            continue
        try:
            verify_complete(folder)
        except ValueError as error:
            damaged[folder] = str(error)
            _logger.warning("%s Passed over.", error)
            continue
        for passed_over in damaged:
            (passed_over / COMPLETE).rename(passed_over / DAMAGED)
        return folder
    if damaged:
        newest = next(iter(damaged.values()))
        raise ValueError(
            f"No checkpoint of this run can be read any more: {newest} Put a good copy back, "
            "or start anew with run.fresh=true."
        )
    return None


def resume_state(folder: Path, *, identity: RunIdentity) -> RunState:
    """Read where the run stood, and refuse to go on as another run.

    Raises:
        ValueError: The run that starts is not the one that was saved; the message says why.
    """
    state = read_run_state(folder)
    differences = state.identity.differences(identity)
    if differences:
        raise ValueError(
            f"{folder.parent.parent} cannot be resumed: {'; '.join(differences)}. Start the "
            "command it was started with, begin anew with run.fresh=true, or start another run "
            f"(run.name=NAME) from its weights with initialize_from={folder}."
        )
    return state
