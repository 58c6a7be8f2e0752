"""Which images of a corpus are frames of one video or volume, from eight bytes an image.

Beside its shards a corpus holds `SOURCE.sequences`: for each image, in the order of the source's
shards, eight bytes of a hash of its subject and sequence, or of its key where it stands alone. A
corpus that an older program built lacks the file, and is read all the same.
"""

import hashlib

import numpy as np

from .sample import Origin, key_word
from .shard_reader import Corpus
from .shared_images import DIGEST, read_digests


def sequences_name(source: str) -> str:
    """Return the name of the file of a source's sequences."""
    return f"{key_word(source)}.sequences"


def digest_of_sequence(origin: Origin, *, key: str) -> str:
    """Return a hexadecimal hash that the frames of one sequence share, and other images do not."""
    parts = [key]
    if origin.sequence is not None:
        parts = [origin.subject if origin.subject_is_known else "", origin.sequence]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def read_sequences(corpus: Corpus) -> np.ndarray:
    """Return a number for each image in the flat order, the same for the frames of a sequence.

    Raises:
        FileNotFoundError: The corpus was built before there were such files.
        ValueError: A file does not fit its manifest.
    """
    digests, places = read_digests(corpus, name_of=sequences_name)
    ordered = np.empty(corpus.num_samples, DIGEST)
    ordered[places] = digests
    return ordered
