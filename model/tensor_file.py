"""Files of tensors: safetensors, and `.pth` read without running anything that it holds."""

import logging
import pickle
import re
import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from .inert_unpickling import inert_pickle_module

_logger = logging.getLogger(__name__)

WRAPPERS = ("model", "state_dict", "model_state_dict")
"""Names under which training scripts put the weights beside an optimizer and an epoch."""

SHARED_PREFIXES = ("module.", "_orig_mod.", "model.")
"""What DistributedDataParallel, torch.compile and Lightning put before every name."""


def read_tensors(path: Path) -> dict[str, Tensor]:
    """Read a file of tensors into the CPU's memory, mapped rather than copied where possible.

    Args:
        path: A `.safetensors` file, or whatever `torch.save` wrote. Only tensors and plain
            containers are unpickled: objects of other libraries become inert placeholders.
    """
    _check_readable(path)
    if path.suffix == ".safetensors" or _starts_like_safetensors(path):
        return unwrap_tensors(_read_safetensors(path), origin=str(path))
    return unwrap_tensors(_read_pickled(path), origin=str(path))


def unwrap_tensors(content: object, *, origin: str) -> dict[str, Tensor]:
    """Find the state dict in what a file held, and take a prefix shared by all names off.

    Args:
        content: A state dict, or a dict that holds one under one of `WRAPPERS`.
        origin: File name (or another word for where the content is from) for messages.
    """
    if not isinstance(content, Mapping):
        raise ValueError(
            f"{origin}: holds a {type(content).__name__}, expected named tensors (a state dict). "
            "Save it again with torch.save(model.state_dict(), PATH)."
        )
    wrapper = next((name for name in WRAPPERS if isinstance(content.get(name), Mapping)), None)
    named = content if wrapper is None else content[wrapper]
    tensors = _check_tensors(named, origin=origin)
    while removable := _shared_prefix(tensors):
        tensors = {name.removeprefix(removable): value for name, value in tensors.items()}
    return tensors


def _check_readable(path: Path) -> None:
    if not path.exists():
        raise FileNotFoundError(f"{path}: no such file. Check the path of the weights.")
    if not path.is_file():
        raise ValueError(f"{path}: expected a file of weights (.pth, .pt or .safetensors).")
    if path.stat().st_size == 0:
        raise ValueError(f"{path}: the file is empty. Download or copy it again.")


def _starts_like_safetensors(path: Path) -> bool:
    """Tell by the JSON that follows the eight bytes of its length, whatever the file is called."""
    with path.open("rb") as stream:
        return stream.read(9)[8:] == b"{"


def _read_safetensors(path: Path) -> dict[str, Tensor]:
    try:
        return load_file(path)
    except SafetensorError as error:
        raise ValueError(
            f"{path}: not a whole safetensors file ({error}). It was probably cut short on its "
            "way: download or copy it again."
        ) from error


def _read_pickled(path: Path) -> object:
    with path.open("rb") as stream:
        start = stream.read(16)
    is_zip = zipfile.is_zipfile(path)
    if start.startswith(b"PK") and not is_zip:
        raise ValueError(
            f"{path}: cut short, {path.stat().st_size} bytes without the table that ends a "
            "PyTorch file. Download or copy it again."
        )
    try:
        return _unpickle(path, is_zip=is_zip)
    except pickle.UnpicklingError as error:
        raise ValueError(_refusal_of_pickle(path, reason=str(error), start=start)) from error
    except Exception as error:  # damaged bytes fail in any way: KeyError, IndexError, struct.error
        raise ValueError(
            f"{path}: cannot be read as a PyTorch file ({_first_line(error)}). It is damaged, cut "
            "short or of another kind: download it again, or save it as a state dict."
        ) from error


def _unpickle(path: Path, *, is_zip: bool) -> object:
    """Read tensors alone; failing that, from today's format, tensors beside inert placeholders."""
    with warnings.catch_warnings():
        # Old pickle protocols are announced as a warning just before they are refused.
        warnings.simplefilter("ignore", UserWarning)
        try:
            return torch.load(path, map_location="cpu", weights_only=True, mmap=is_zip)
        except pickle.UnpicklingError:
            if not is_zip:
                raise
    module, replaced = inert_pickle_module()
    content = torch.load(
        path, map_location="cpu", pickle_module=module, weights_only=False, mmap=True
    )
    _logger.info(
        "%s: holds more than tensors; nothing was made of %s", path, ", ".join(sorted(replaced))
    )
    return content


def _refusal_of_pickle(path: Path, *, reason: str, start: bytes) -> str:
    named = re.search(r"GLOBAL:? (\S+)", reason)
    if named:
        return (
            f"{path}: holds more than tensors: it names {named[1]!r}, which may run code when it "
            "is unpickled, and in this old format of torch nothing else can be read. Save the "
            "state dict alone where you trust this file."
        )
    return (
        f"{path}: not a file of tensors, it starts with {start!r}. Expected safetensors or what "
        "torch.save writes; a web page or a Git LFS pointer in its place is a failed download."
    )


def _first_line(error: Exception) -> str:
    lines = str(error).splitlines()
    return lines[0][:200] if lines else type(error).__name__


def _check_tensors(named: Mapping[object, object], *, origin: str) -> dict[str, Tensor]:
    tensors = {
        name: value.detach()
        for name, value in named.items()
        if isinstance(name, str) and isinstance(value, Tensor)
    }
    if tensors and len(tensors) == len(named):
        return tensors
    others = sorted(str(name) for name in named if name not in tensors)
    raise ValueError(
        f"{origin}: expected a dict of tensors, alone or under one of {', '.join(WRAPPERS)}; "
        f"found {len(tensors)} tensors and {len(others)} other entries"
        f"{': ' if others else ''}{', '.join(others[:8])}. Save the state dict alone."
    )


def _shared_prefix(tensors: Mapping[str, Tensor]) -> str:
    return next(
        (prefix for prefix in SHARED_PREFIXES if all(name.startswith(prefix) for name in tensors)),
        "",
    )
