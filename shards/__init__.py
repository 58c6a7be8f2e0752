"""Raw ultrasound datasets to tar shards, and shards to a resumable stream of samples."""

from .building import build_corpora
from .config import BuildConfig, InspectConfig, PhantomConfig, Us30kConfig, ValidateConfig
from .image_file import EncodedImage, decode_image, encode_png, read_image, read_label
from .manifest import Manifest, ManifestSource, ShardEntry, SourceDescription, read_manifest
from .sample import (
    Origin,
    RunLength,
    UltrasoundObject,
    UltrasoundSample,
    hash_pixels,
    make_key,
)
from .shard_reader import Corpus, open_corpus
from .shard_writer import write_corpus
from .sources import SOURCES
from .storage import Storage

__all__ = [
    "SOURCES",
    "BuildConfig",
    "Corpus",
    "EncodedImage",
    "InspectConfig",
    "Manifest",
    "ManifestSource",
    "Origin",
    "PhantomConfig",
    "RunLength",
    "ShardEntry",
    "SourceDescription",
    "Storage",
    "UltrasoundObject",
    "UltrasoundSample",
    "Us30kConfig",
    "ValidateConfig",
    "build_corpora",
    "decode_image",
    "encode_png",
    "hash_pixels",
    "make_key",
    "open_corpus",
    "read_image",
    "read_label",
    "read_manifest",
    "write_corpus",
]
