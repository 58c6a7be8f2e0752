"""Raw ultrasound datasets to tar shards, and shards to a resumable stream of samples."""

from .building import build_corpora
from .config import (
    BuildConfig,
    InspectConfig,
    PhantomConfig,
    Us30kConfig,
    ValidateConfig,
    ValidateSourceConfig,
)
from .contact_sheet import category_colours, draw_contact_sheet, outline
from .corpus_table import draw_tables, survey_corpus
from .frame_files import FrameFile, is_frame_file, open_frame_file
from .image_file import EncodedImage, decode_image, encode_png, read_image, read_label
from .manifest import Manifest, ManifestSource, ShardEntry, SourceDescription, read_manifest
from .own_data_config import CocoConfig, DicomConfig, FolderConfig, NiftiConfig
from .read_report import ReadReport
from .reading_config import ReadingConfig
from .sample import (
    Origin,
    RunLength,
    UltrasoundObject,
    UltrasoundSample,
    hash_pixels,
    make_key,
)
from .sequences import read_sequences
from .shard_cache import check_cache
from .shard_reader import Corpus, check_licences, open_corpus
from .shard_writer import write_corpus
from .shared_images import (
    SharedImage,
    find_shared_images,
    first_shared_image,
    split_of_build,
    were_parted_at_build,
)
from .source_trial import draw_trial, try_source
from .sources import SOURCES
from .step_slots import num_micro_batches
from .storage import Storage
from .stream_changes import describe_stream_differences
from .stream_plan import SampleAddress, StreamPlan
from .stream_source import StreamSource
from .trial_report import describe_trial
from .validation import Finding, corpus_urls, validate_corpus

__all__ = [
    "SOURCES",
    "BuildConfig",
    "CocoConfig",
    "Corpus",
    "DicomConfig",
    "EncodedImage",
    "Finding",
    "FolderConfig",
    "FrameFile",
    "InspectConfig",
    "Manifest",
    "ManifestSource",
    "NiftiConfig",
    "Origin",
    "PhantomConfig",
    "ReadReport",
    "ReadingConfig",
    "RunLength",
    "SampleAddress",
    "ShardEntry",
    "SharedImage",
    "SourceDescription",
    "Storage",
    "StreamPlan",
    "StreamSource",
    "UltrasoundObject",
    "UltrasoundSample",
    "Us30kConfig",
    "ValidateConfig",
    "ValidateSourceConfig",
    "build_corpora",
    "category_colours",
    "check_cache",
    "check_licences",
    "corpus_urls",
    "decode_image",
    "describe_stream_differences",
    "describe_trial",
    "draw_contact_sheet",
    "draw_tables",
    "draw_trial",
    "encode_png",
    "find_shared_images",
    "first_shared_image",
    "hash_pixels",
    "is_frame_file",
    "make_key",
    "num_micro_batches",
    "open_corpus",
    "open_frame_file",
    "outline",
    "read_image",
    "read_label",
    "read_manifest",
    "read_sequences",
    "split_of_build",
    "survey_corpus",
    "try_source",
    "validate_corpus",
    "were_parted_at_build",
    "write_corpus",
]
