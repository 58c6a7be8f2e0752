"""The files of a deployable folder that do not depend on the model: written aside, then renamed."""

import hashlib
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

from evaluation.output_folder import check_writable
from model import is_without_room

PREPROCESSING_FILE = "preprocessing.json"
CHECKSUMS_FILE = "checksums.json"
WEIGHTS_FOLDER = "weights"
EVALUATION_FILE = "evaluation.json"
MODEL_CARD_FILE = "model_card.md"
PREDICT_FILE = "predict.py"
REQUIREMENTS_FILE = "requirements.txt"

RUNTIME_REQUIREMENTS = ("onnxruntime>=1.22", "numpy>=2.0", "pillow>=11")
"""What `predict.py` imports, with the oldest versions that this project allows itself."""

RECORDED_PACKAGES = ("torch", "onnx", "onnxscript", "onnxruntime", "numpy", "pillow")


def is_deployable(folder: Path) -> bool:
    """Whether the folder says of itself that it is a deployable."""
    return (folder / PREPROCESSING_FILE).is_file() and (folder / CHECKSUMS_FILE).is_file()


@contextmanager
def new_deployable(folder: Path, *, overwrite: bool) -> Iterator[Path]:
    """Yield a folder with `predict.py` to fill; on success it gets checksums and the final name.

    If the block fails, nothing is left under the final name and an older deployable stays.

    Raises:
        FileExistsError: The folder exists and may not be replaced.
        OSError: The disk is full.
    """
    check_destination(folder, overwrite=overwrite)
    partial = folder.with_name(f"{folder.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    try:
        shutil.copyfile(Path(__file__).with_name("predict.py"), partial / PREDICT_FILE)
        (partial / REQUIREMENTS_FILE).write_text("\n".join(RUNTIME_REQUIREMENTS) + "\n")
        yield partial
        write_checksums(partial)
    except BaseException as error:
        shutil.rmtree(partial, ignore_errors=True)
        if not is_without_room(error):
            raise
        raise OSError(
            f"{folder} could not be written: there is no room on the disk. Make room, or choose "
            "another output=."
        ) from error
    replaced = folder.with_name(f"{folder.name}.replaced")
    shutil.rmtree(replaced, ignore_errors=True)
    if folder.exists():
        folder.replace(replaced)
    partial.replace(folder)
    shutil.rmtree(replaced, ignore_errors=True)


def check_destination(folder: Path, *, overwrite: bool) -> None:
    """Raise unless a deployable may be written to `folder`, before anything expensive is done."""
    if folder.exists() and not overwrite:
        raise FileExistsError(
            f"{folder} exists. Choose another output=, or replace it with overwrite=true."
        )
    if folder.is_dir() and any(folder.iterdir()) and not is_deployable(folder):
        raise FileExistsError(
            f"{folder} holds other files than a deployable, so overwrite=true does not replace it. "
            "Choose another output=."
        )
    nearest = next(parent for parent in folder.absolute().parents if parent.exists())
    if not nearest.is_dir() or not os.access(nearest, os.W_OK):
        raise PermissionError(
            f"{folder} cannot be written: {nearest} is not a folder that this user may write to. "
            "Choose another output=."
        )
    check_writable(folder)


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write `content` as indented JSON; keys keep their order, NaN is refused."""
    text = json.dumps(content, indent=2, ensure_ascii=True, allow_nan=False)
    path.write_text(text + "\n", encoding="utf-8")


def write_checksums(folder: Path) -> None:
    """Write `checksums.json`: the sha256 of every other file of the folder."""
    files = {path.name: sha256_of(path) for path in sorted(folder.iterdir()) if path.is_file()}
    files.pop(CHECKSUMS_FILE, None)
    write_json(folder / CHECKSUMS_FILE, {"format_version": 1, "files": files})


def sha256_of(path: Path) -> str:
    """Return the hexadecimal sha256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def opened_bytes(folder: Path, graphs: Mapping[str, str]) -> int:
    """Return the size of the files that `predict.py` opens for a prediction: a form's graphs."""
    return sum(path.stat().st_size for path in files_of(folder, graphs))


def files_of(folder: Path, graphs: Mapping[str, str]) -> list[Path]:
    """Return the files of a form's graphs, with those of weights that lie beside them."""
    return [path for name in graphs.values() for path in sorted(folder.glob(f"{name}*"))]


def package_versions() -> dict[str, str]:
    """Return the installed versions of what made the graphs and of what runs them."""
    return {name: version(name) for name in RECORDED_PACKAGES}
