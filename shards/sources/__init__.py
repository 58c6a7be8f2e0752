"""Raw datasets, one file each; `SOURCES` is their list."""

from .annotated_image import (
    AnnotatedImage,
    MaskFile,
    open_image,
    read_coloured_image,
    read_drawn_frame,
    read_indexed_image,
    read_masked_image,
    read_masked_video_frame,
    read_volume_frame,
)
from .busi import BUSI
from .phantom import plan_phantom
from .published_source import FoundImage, PublishedSource
from .source_card import SourceCard
from .source_plan import PlannedSample, SourceFactory, SourcePlan
from .us30k import plan_us30k

SOURCES: dict[str, SourceFactory] = {
    "busi": BUSI,
    "phantom": plan_phantom,
    "us30k": plan_us30k,
}

__all__ = [
    "SOURCES",
    "AnnotatedImage",
    "FoundImage",
    "MaskFile",
    "PlannedSample",
    "PublishedSource",
    "SourceCard",
    "SourceFactory",
    "SourcePlan",
    "open_image",
    "read_coloured_image",
    "read_drawn_frame",
    "read_indexed_image",
    "read_masked_image",
    "read_masked_video_frame",
    "read_volume_frame",
]
