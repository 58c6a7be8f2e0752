"""Where a build is made, and how it gets its place when all is well.

On a disk that is a folder beside `output`, so that nothing is seen, and nothing of an older build
is lost, before the new one is finished. Elsewhere renaming would copy everything, so shards are
put where they stay, each in one piece, and the manifests come last.
"""

import contextlib
import errno
import shutil
from collections.abc import Collection, Iterator
from pathlib import Path

from shards.config import BuildConfig
from shards.corpus_file import CORPUS_NAME, read_corpus_file
from shards.manifest import Manifest
from shards.shard_reader import open_corpus
from shards.storage import Storage, join_url

MARKER_NAME = "BUILDING.txt"
"""Lies where a build is made that is no local folder, so that a later call may go on with it."""


def check_output(config: BuildConfig) -> None:
    """Refuse an output that the raw data lie in: replacing it would remove them."""
    storage = Storage(config.output)
    if config.root is None or not storage.is_local:
        return
    output, root = Path(storage.folder).resolve(), Path(config.root).resolve()
    if output in (root, *root.parents):
        raise ValueError(
            f"output={config.output}: the raw data of root={config.root} lie in it, and a build "
            "replaces all that its output holds. Give another output."
        )


def find_finished(config: BuildConfig, *, fingerprint: str) -> dict[str, Manifest] | None:
    """Return the manifests of the same build at `output`; None where a build may be made.

    Raises:
        ValueError: Something else lies there, and `overwrite` is off.
    """
    storage = Storage(config.output)
    if config.overwrite or storage.is_empty() or _is_begun(storage):
        return None
    fields = read_corpus_file(config.output)
    if fields is not None and fields.get("fingerprint") == fingerprint:
        return {
            split: open_corpus(join_url(config.output, name=split)).manifest
            for split in fields["splits"]
        }
    what = "another build" if fields else "other files"
    raise ValueError(
        f"{config.output}: holds {what}. Give another output, or replace it: overwrite=true."
    )


def open_place(config: BuildConfig) -> str:
    """Return the URL to build at; what an earlier call left there is kept.

    Raises:
        ValueError: Slices would have to remove another build first.
    """
    storage = Storage(config.output)
    if storage.is_local:
        return f"{storage.folder}.partial"
    if not _is_begun(storage):
        if config.slice is not None and not storage.is_empty():
            raise ValueError(
                f"{config.output}: is not empty, and slices cannot agree on who removes what lies "
                "there. Remove it before they start, or give another output."
            )
        storage.remove()
        storage.write(MARKER_NAME, content=b"The command that builds here goes on with it.\n")
    return config.output


def put_in_place(config: BuildConfig, *, url: str, names: Collection[str]) -> None:
    """Give a finished build its name; all but the files in `names` is removed."""
    _remove_others(Storage(url), names=names)
    storage = Storage(config.output)
    if storage.is_local:
        if Path(storage.folder).exists():
            shutil.rmtree(storage.folder)
        Path(url).replace(storage.folder)


@contextlib.contextmanager
def writing_guard(output: str) -> Iterator[None]:
    """Turn the system's errors about `output` into one that says what to do."""
    remedies = {
        errno.ENOSPC: "The disk is full: free some space, or give another output.",
        errno.EDQUOT: "The quota is used up: free some space, or give another output.",
        errno.EFBIG: "A file grew too large: lower max_shard_megabytes, or lift the limit.",
        errno.EROFS: "The disk is read-only: give another output.",
        errno.EACCES: "Writing is not allowed here: give another output, or mend the rights.",
        errno.EPERM: "Writing is not allowed here: give another output, or mend the rights.",
    }
    try:
        yield
    except OSError as error:
        remedy = remedies.get(error.errno or 0, "Give another output.")
        raise OSError(f"{output}: cannot be written ({error}). {remedy}") from error


def _is_begun(storage: Storage) -> bool:
    """Whether a build that is not finished lies there; on a disk it lies beside."""
    return (
        not storage.is_local
        and storage.size(MARKER_NAME) is not None
        and storage.size(CORPUS_NAME) is None
    )


def _remove_others(storage: Storage, *, names: Collection[str]) -> None:
    """Remove receipts, shards of an earlier plan, and what a killed call left half written."""
    found = storage.filesystem.find(storage.folder)
    others = [path for path in found if path.removeprefix(f"{storage.folder}/") not in names]
    if others:
        storage.filesystem.rm(others)
    if storage.is_local:
        for folder in sorted(Path(storage.folder).rglob("*"), reverse=True):
            if folder.is_dir() and not any(folder.iterdir()):
                folder.rmdir()
