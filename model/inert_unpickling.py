"""Unpickles tensors, and nothing but inert stand-ins for whatever else a file names."""

import collections
import pickle
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

from torch import _utils as torch_rebuilding


class Inert:
    """Stands where a pickle names anything but a tensor; takes all it is given and keeps nothing.

    A pickle may call what it has named, fill it like a list or a dict, and hand it a state.
    """

    def __init__(self, *arguments: object) -> None:
        del arguments

    def __call__(self, *arguments: object) -> "Inert":
        """Answer a call: a pickle gets methods by `getattr`, and may call them."""
        del arguments
        return self

    def __setstate__(self, state: object) -> None:
        del state

    def __setitem__(self, key: object, value: object) -> None:
        del key, value

    def append(self, item: object) -> None:
        """Take a list's item."""

    def add(self, item: object) -> None:
        """Take a set's item."""


class _Rebuild:
    """A function that rebuilds tensors, behind an object that a pickle can call but not change."""

    __slots__ = ("_function",)

    def __init__(self, function: Callable[..., Any]) -> None:
        self._function = function

    def __call__(self, *arguments: object) -> object:
        return self._function(*arguments)

    def __setstate__(self, state: object) -> None:
        raise pickle.UnpicklingError(f"the file tries to change how tensors are rebuilt: {state!r}")


_ADMITTED: dict[str, Callable[..., Any]] = {
    "collections.OrderedDict": collections.OrderedDict,
    "torch._utils._rebuild_tensor": _Rebuild(torch_rebuilding._rebuild_tensor),
    "torch._utils._rebuild_tensor_v2": _Rebuild(torch_rebuilding._rebuild_tensor_v2),
    "torch._utils._rebuild_parameter": _Rebuild(torch_rebuilding._rebuild_parameter),
}
"""All that a file can reach; the kinds of storage are added by `torch.load` itself."""


def inert_pickle_module() -> tuple[Any, set[str]]:
    """Return what `torch.load` takes as `pickle_module`, and the names that became stand-ins.

    The set is filled while a file is read.
    """
    replaced: set[str] = set()

    class InertUnpickler(pickle.Unpickler):
        """Resolves names to the admitted functions or to `Inert`, and imports nothing."""

        def find_class(self, module: str, name: str, /) -> object:
            """Return what a name may mean here."""
            full_name = f"{module}.{name}"
            if full_name not in _ADMITTED:
                replaced.add(full_name)
            return _ADMITTED.get(full_name, Inert)

    return SimpleNamespace(__name__="inert", Unpickler=InertUnpickler), replaced
