"""Images that lie in two corpora, found from eight bytes an image.

Beside its shards a corpus holds `SOURCE.pixels`: the first 8 bytes of each image's
`origin.pixels_sha256`, in the order of the source's shards. Few images agree in these by chance,
and what agrees is compared in full, so that what is found is exact.
"""

import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from .corpus_file import read_corpus_file
from .sample import key_word
from .shard_reader import Corpus, open_corpus
from .storage import Storage

DIGEST = np.dtype("<u8")

_logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class SharedImage:
    """The same pixels in two corpora, under one key or two."""

    first_key: str
    second_key: str


def pixels_name(source: str) -> str:
    """Return the name of the file that holds the digests of a source."""
    return f"{key_word(source)}.pixels"


def pack_digests(sha256: Sequence[str]) -> bytes:
    """Return the content of that file."""
    return b"".join(bytes.fromhex(digest)[: DIGEST.itemsize] for digest in sha256)


def find_shared_images(first: Corpus, second: Corpus) -> Iterator[SharedImage]:
    """Yield every image of `second` whose pixels `first` holds as well.

    Eight bytes an image are read, and both samples of what is found.

    Raises:
        FileNotFoundError: A corpus lacks a file of digests.
        ValueError: A file of digests does not fit its manifest.
    """
    digests, places = read_digests(first, name_of=pixels_name)
    order = np.argsort(digests)
    other_digests, other_places = read_digests(second, name_of=pixels_name)
    for index in np.flatnonzero(np.isin(other_digests, digests)):
        start, end = (
            int(np.searchsorted(digests, other_digests[index], side=side, sorter=order))
            for side in ("left", "right")
        )
        sample = second.read_flat(int(other_places[index]))
        for candidate in order[start:end]:
            known = first.read_flat(int(places[candidate]))
            if known.origin.pixels_sha256 == sample.origin.pixels_sha256:
                yield SharedImage(first_key=known.key, second_key=sample.key)
                break


def first_shared_image(trained: Corpus, held_out: Corpus) -> SharedImage | None:
    """Return an image that both hold; what their build compared, and told of, is not looked at."""
    if was_checked_at_build(trained, held_out):
        return None
    return next(find_shared_images(trained, held_out), None)


def was_checked_at_build(first: Corpus, second: Corpus) -> bool:
    """Say whether both are splits of one build, which compared them with each other already.

    A build that was told to keep what its splits share (`leaks=report`) is not refused later on; a
    warning says how much that is.
    """
    shared = _shared_at_build(first, second)
    if shared is not None and any(shared.values()):
        _logger.warning("%s, %s: share subjects or images: %s", first.url, second.url, shared)
    return shared is not None


def were_parted_at_build(first: Corpus, second: Corpus) -> bool:
    """Say whether both are splits of one build that share no subject and no image."""
    shared = _shared_at_build(first, second)
    return shared is not None and not any(shared.values())


def split_of_build(corpus: Corpus, *, content_hash: str) -> Corpus | None:
    """Return the split of that hash out of the build that a corpus lies in; None where none is."""
    folder, _ = _place(corpus.url)
    fields = None if folder is None else read_corpus_file(folder)
    splits = {} if fields is None else dict(fields["splits"])
    names = [name for name, found in splits.items() if found == content_hash]
    if not names:
        return None
    try:
        split = open_corpus(f"{folder}/{names[0]}")
    except (OSError, ValueError) as error:
        _logger.warning("%s: %s", folder, error)
        return None
    return split if split.manifest.content_hash == content_hash else None


def _shared_at_build(first: Corpus, second: Corpus) -> dict[str, int] | None:
    """Return what the splits of a build share; None for corpora that no build has compared."""
    (folder, name), (other_folder, other_name) = (_place(one.url) for one in (first, second))
    if folder is None or folder != other_folder or name == other_name:
        return None
    fields = read_corpus_file(folder, counts=first.counts)
    if fields is None or "num_shared_images" not in fields:
        return None
    hashes = fields["splits"]
    expected = (hashes.get(name), hashes.get(other_name))
    if expected != (first.manifest.content_hash, second.manifest.content_hash):
        return None
    return {what: fields[what] for what in ("num_leaked_subjects", "num_shared_images")}


def _place(url: str) -> tuple[str | None, str]:
    folder, _, name = url.rstrip("/").rpartition("/")
    return folder or None, name


def read_digests(corpus: Corpus, *, name_of: Callable[[str], str]) -> tuple[np.ndarray, np.ndarray]:
    """Return eight bytes of all images, and each one's place in the flat order.

    Args:
        corpus: What holds the images.
        name_of: Returns the name of a source's file.

    Raises:
        FileNotFoundError: A file is missing.
        ValueError: A file does not fit its manifest.
    """
    ends = np.cumsum([0, *corpus.samples_per_shard])
    digests, places = [np.empty(0, DIGEST)], [np.empty(0, np.int64)]
    for source in corpus.manifest.sources:
        name = name_of(source.name)
        digests.append(read_digest_file(corpus.storage, name=name, num_images=source.num_samples))
        for number, shard in enumerate(corpus.manifest.shards):
            if shard.source == source.name:
                places.append(np.arange(ends[number], ends[number + 1]))
    return np.concatenate(digests), np.concatenate(places)


def read_digest_file(storage: Storage, *, name: str, num_images: int) -> np.ndarray:
    """Read eight bytes for each image of a source; errors as `read_digests`."""
    try:
        content = storage.read(name)
    except FileNotFoundError as error:
        raise FileNotFoundError(
            f"{storage.shown(name)}: is missing. Copy the whole folder, or build the corpus again "
            "with overwrite=true."
        ) from error
    if len(content) != num_images * DIGEST.itemsize:
        raise ValueError(
            f"{storage.shown(name)}: has {len(content)} bytes; {num_images} images need "
            f"{num_images * DIGEST.itemsize}. Copy it again, or build the corpus again."
        )
    return np.frombuffer(content, DIGEST)
