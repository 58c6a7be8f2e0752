"""The pretraining run: configuration, batches, the loop, checkpoints, tracking.

Only the configuration is re-exported; what needs torch is imported by its full path
(`pipeline.pretraining`), so that a launcher's `--help` stays quick.
"""

from .config import PretrainConfig
from .options import describe_options, load_config

__all__ = ["PretrainConfig", "describe_options", "load_config"]
