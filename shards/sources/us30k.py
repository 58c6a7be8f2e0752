"""The US30K layout."""

from ..build_report import BuildReport
from ..config import BuildConfig
from .source_plan import SourcePlan


def plan_us30k(config: BuildConfig, report: BuildReport) -> SourcePlan:
    """Plan."""
    raise ValueError("not yet")
