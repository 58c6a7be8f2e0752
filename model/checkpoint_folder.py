"""The checkpoint folder on disk: which files are whole, which checkpoint of a run is meant.

A folder `step-00012000/` holds `architecture.json`, `weights.safetensors`, and where they apply
`ema.safetensors` (averaged trainables), `optimizer.safetensors` and `run_state.json` (for resume),
`base.json` (the file that the frozen tensors are from). COMPLETE is written last.
"""

import hashlib
import json
import logging
import re
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

_logger = logging.getLogger(__name__)

ARCHITECTURE = "architecture.json"
WEIGHTS = "weights.safetensors"
AVERAGED_WEIGHTS = "ema.safetensors"
BASE = "base.json"
PARTS = frozenset(
    {ARCHITECTURE, WEIGHTS, AVERAGED_WEIGHTS, BASE, "optimizer.safetensors", "run_state.json"}
)
"""Names with a meaning in a checkpoint; a reader takes such a file for a part of it."""

COMPLETE = "COMPLETE"
CHECKPOINTS = "checkpoints"
BEST = "BEST"

STEP_FOLDER = re.compile(r"step-(\d+)")

COMPLETE_FORMAT_VERSION = 1


@dataclass(frozen=True, kw_only=True)
class BaseFile:
    """The pretrained file that a run's frozen tensors are from."""

    sha256: str
    file_name: str
    layout: str
    """Name of the published layout, such as `sam`."""

    path: Path | None = None
    """Where it lay when it was read; a hint only, since the checkpoint may have moved."""


def sha256_of_file(path: Path) -> str:
    """Return the file's sha256 in hexadecimal digits."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def write_complete_marker(folder: Path) -> None:
    """Write COMPLETE with the sha256 of every file in the folder; the last thing to write."""
    digests = {path.name: sha256_of_file(path) for path in _files_of(folder)}
    content = {"format_version": COMPLETE_FORMAT_VERSION, "files": digests}
    (folder / COMPLETE).write_text(json.dumps(content, indent=2) + "\n", encoding="ascii")


def verify_complete(folder: Path, *, names: Collection[str] | None = None) -> None:
    """Raise unless the folder has its COMPLETE marker and the files are those it was written for.

    A part that came later, such as averaged weights of another checkpoint, would be read unchecked
    and is refused. Files of other names, such as a base file or notes, may lie beside the parts.

    Args:
        folder: A checkpoint folder.
        names: Files to hash; by default all. The others are only looked for, so that evaluating
            does not read an optimizer state of twice the model's size.
    """
    marker = folder / COMPLETE
    if not marker.is_file():
        raise ValueError(
            f"{folder}: no {COMPLETE} marker, so writing this checkpoint was interrupted. Use an "
            "earlier checkpoint of the run."
        )
    content = read_json(marker)
    version, digests = content.get("format_version"), content.get("files")
    if not isinstance(version, int) or not isinstance(digests, dict):
        raise ValueError(f"{marker}: expected `format_version` and `files`. The file is damaged.")
    if version > COMPLETE_FORMAT_VERSION:
        raise ValueError(
            f"{marker}: format version {version}, this program reads up to "
            f"{COMPLETE_FORMAT_VERSION}. Update the program."
        )
    for name in sorted(PARTS - digests.keys()):
        if (folder / name).exists():
            raise ValueError(
                f"{folder / name}: not a file of this checkpoint ({COMPLETE} does not list it). "
                "Move it away, or copy the checkpoint again."
            )
    for name, expected in digests.items():
        path = folder / name
        if not path.is_file():
            raise ValueError(f"{path}: missing, though {COMPLETE} lists it. Copy it again.")
        if (names is None or name in names) and sha256_of_file(path) != expected:
            raise ValueError(
                f"{path}: not the file that was written (its sha256 differs from {COMPLETE}). "
                "Copy the checkpoint again or use another one."
            )


def is_complete(folder: Path) -> bool:
    """Say whether the folder was written to its end; its files are not read."""
    return (folder / COMPLETE).is_file()


def find_checkpoint(path: Path) -> Path:
    """Return the checkpoint folder that a path means.

    Args:
        path: A checkpoint folder, which is returned as it is, or a run folder: its best checkpoint
            where `checkpoints/BEST` names one, else the latest complete one.
    """
    if not path.exists():
        raise FileNotFoundError(f"{path}: no such folder. Expected a run or a checkpoint folder.")
    if (path / ARCHITECTURE).is_file():
        return path
    checkpoints = path if path.name == CHECKPOINTS else path / CHECKPOINTS
    if not checkpoints.is_dir():
        raise ValueError(
            f"{path}: neither a checkpoint ({ARCHITECTURE}) nor a run folder ({CHECKPOINTS}/). "
            "Pass the folder of a run, or one of its checkpoints/step-* folders."
        )
    return _best_checkpoint(checkpoints) or _latest_checkpoint(checkpoints)


def write_base_record(folder: Path, *, base: BaseFile) -> None:
    """Write base.json, which names the base file by sha256, file name and a hint of its place."""
    content = {
        "sha256": base.sha256,
        "file_name": base.file_name,
        "layout": base.layout,
        "hint": None if base.path is None else str(base.path),
    }
    (folder / BASE).write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def read_base_record(folder: Path) -> BaseFile | None:
    """Return what base.json names, or none for a checkpoint that holds all of its tensors."""
    path = folder / BASE
    if not path.is_file():
        return None
    content = read_json(path)
    sha256, file_name, hint = (content.get(key) for key in ("sha256", "file_name", "hint"))
    if not isinstance(sha256, str) or not isinstance(file_name, str):
        raise ValueError(f"{path}: expected `sha256` and `file_name`. The file is damaged.")
    return BaseFile(
        sha256=sha256,
        file_name=file_name,
        layout=str(content.get("layout", "unknown")),
        path=Path(hint) if isinstance(hint, str) else None,
    )


def find_base(folder: Path, *, record: BaseFile, explicit: Path | None) -> Path:
    """Return the file on this machine whose sha256 the checkpoint asks for.

    Args:
        folder: The checkpoint folder; the file may lie in it or in a folder above, up to the run's.
        record: What base.json says.
        explicit: Where the caller says that the file is; nothing else is tried then.
    """
    if explicit is not None:
        return _explicit_base(explicit, record=record)
    places = [place / record.file_name for place in (folder, *folder.resolve().parents[:2])]
    candidates = [*([record.path] if record.path else []), *places]
    passed_over: list[str] = []
    for candidate in dict.fromkeys(candidates):
        if not candidate.is_file():
            passed_over.append(f"{candidate} (not there)")
        elif sha256_of_file(candidate) != record.sha256:
            passed_over.append(f"{candidate} (another sha256)")
        else:
            return candidate
    raise FileNotFoundError(
        f"{folder}: the frozen weights are in {record.file_name!r} (sha256 {record.sha256}), which "
        f"was not found. Tried {', '.join(passed_over)}. Give its path as `base=`, or put it "
        "beside the checkpoint."
    )


def read_json(path: Path) -> dict[str, object]:
    """Read a JSON object, with the file named where it is none."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path}: not JSON ({error}). Copy the checkpoint again.") from error
    if not isinstance(content, dict):
        raise ValueError(f"{path}: expected a JSON object, found {type(content).__name__}.")
    return content


def _best_checkpoint(checkpoints: Path) -> Path | None:
    marker = checkpoints / BEST
    if not marker.is_file():
        return None
    best = checkpoints / marker.read_text(encoding="utf-8").strip()
    if best != checkpoints and is_complete(best):
        return best
    _logger.warning("%s: %s is no complete checkpoint; taking the latest.", marker, best.name)
    return None


def _latest_checkpoint(checkpoints: Path) -> Path:
    steps = {
        int(found[1]): path
        for path in checkpoints.iterdir()
        if (found := STEP_FOLDER.fullmatch(path.name)) and path.is_dir()
    }
    for _, folder in sorted(steps.items(), reverse=True):
        if is_complete(folder):
            return folder
        _logger.warning("%s: passed over, it was not written to its end.", folder)
    raise ValueError(
        f"{checkpoints}: no complete checkpoint among {len(steps)} step-* folders. Let the run "
        "write one first, or choose another run."
    )


def _explicit_base(explicit: Path, *, record: BaseFile) -> Path:
    path = explicit / record.file_name if explicit.is_dir() else explicit
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file, given as `base=`.")
    found = sha256_of_file(path)
    if found != record.sha256:
        raise ValueError(
            f"{path}: sha256 {found}, but this checkpoint was trained on {record.file_name!r} with "
            f"sha256 {record.sha256}. Give that file as `base=`."
        )
    return path


def _files_of(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.is_file() and path.name != COMPLETE)
