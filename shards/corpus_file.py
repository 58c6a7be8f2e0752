"""`corpus.json`: what a build of several splits says about itself."""

import json
from collections import Counter
from typing import Any

from .manifest import FORMAT_VERSION
from .storage import Storage

CORPUS_NAME = "corpus.json"


def read_corpus_file(url: str, *, counts: Counter[str] | None = None) -> dict[str, Any] | None:
    """Return what `corpus.json` at `url` says, or None where there is none.

    Args:
        url: Of the build.
        counts: Gets the number of requests that were made again, as `retries`.

    Raises:
        ValueError: It is damaged.
    """
    storage = Storage(url, counts=counts)
    where = storage.shown(CORPUS_NAME)
    try:
        fields = json.loads(storage.read(CORPUS_NAME))
        version, _ = int(fields["format_version"]), dict(fields["splits"])
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(
            f"{where}: is no table of corpora ({error!r}). Remove it, and build again."
        ) from error
    if not 1 <= version <= FORMAT_VERSION:
        raise ValueError(
            f"{where}: has format version {version}; this program reads versions 1 to "
            f"{FORMAT_VERSION}. Use a newer program, or build again with overwrite=true."
        )
    return fields
