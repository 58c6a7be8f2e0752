"""`SHARD.index`: where each sample of a shard lies, so that one is read with one request.

48 bytes a sample, little-endian, in the order of the tar, without a header: offset and length of
the sample's members in the tar (headers and padding included), and the sha256 of these bytes.
"""

import hashlib

import numpy as np

END_OF_TAR_BYTES = 1024
"""Two empty blocks follow the last sample."""

INDEX_RECORD = np.dtype([("offset", "<u8"), ("length", "<u8"), ("digest", "u1", (32,))])


def digest_bytes(content: bytes) -> np.ndarray:
    """Return the sha256 as 32 numbers, the form in which the index holds it."""
    return np.frombuffer(hashlib.sha256(content).digest(), dtype=np.uint8)


def pack_index(records: list[tuple[int, int, np.ndarray]]) -> bytes:
    """Return the file of (offset, length, digest) records."""
    return np.array(records, dtype=INDEX_RECORD).tobytes()


def parse_index(
    content: bytes, *, num_samples: int, num_bytes: int, sha256: str | None, where: str
) -> np.ndarray:
    """Return the records of an index file.

    Args:
        content: The whole file.
        num_samples: What the manifest promises.
        num_bytes: Size of the shard, which ends behind its last sample.
        sha256: Of the file, as the manifest has it; None where it has none.
        where: Name for messages.

    Raises:
        ValueError: The file does not fit the manifest.
    """
    if len(content) != num_samples * INDEX_RECORD.itemsize:
        raise ValueError(
            f"{where}: has {len(content)} bytes; {num_samples} samples need "
            f"{num_samples * INDEX_RECORD.itemsize}. Copy it again, or build the corpus again."
        )
    records = np.frombuffer(content, dtype=INDEX_RECORD)
    end = max((records["offset"] + records["length"]).tolist(), default=0)
    if end + END_OF_TAR_BYTES != num_bytes:
        raise ValueError(
            f"{where}: its samples end at byte {end}, its shard has {num_bytes} bytes: they do not "
            "belong together. Copy both again, or build the corpus again."
        )
    if sha256 is not None and hashlib.sha256(content).hexdigest() != sha256:
        raise ValueError(
            f"{where}: its sha256 is not the manifest's: it is damaged, or was replaced. Copy it "
            "and its shard again, or build the corpus again."
        )
    return records
