"""From a raw dataset to corpora, by many processes or machines, in calls that may be stopped.

`corpora.build_corpora` names the steps: a plan cuts the samples into shards (`plan`), workers pack
them (`packing`), one process writes shard after shard with a receipt for each (`shard_series`,
`receipts`), manifests make them corpora (`finishing`), all where nobody takes it for a finished
build (`place`).
"""

from .corpora import build_corpora

__all__ = ["build_corpora"]
