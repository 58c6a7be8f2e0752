"""Raw datasets, one file each; `SOURCES` is their list."""

from .phantom import plan_phantom
from .source_plan import PlannedSample, SourceFactory, SourcePlan
from .us30k import plan_us30k

SOURCES: dict[str, SourceFactory] = {
    "phantom": plan_phantom,
    "us30k": plan_us30k,
}

__all__ = ["SOURCES", "PlannedSample", "SourceFactory", "SourcePlan"]
