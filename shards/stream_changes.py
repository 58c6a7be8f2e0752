"""What keeps a run from going on in the sample order of another."""

from typing import Any


def describe_stream_differences(saved: dict[str, Any], present: dict[str, Any]) -> list[str]:
    """Say in words how two stream identities differ; nothing when they agree.

    Args:
        saved: `StreamPlan.identity` of the run that is resumed; further keys, such as
            `global_batch_size`, are compared as well.
        present: The same of the run that is starting.
    """
    differences = [
        f"{key} was {saved.get(key)}, is {present.get(key)}"
        for key in sorted((saved.keys() | present.keys()) - {"sources"})
        if saved.get(key) != present.get(key)
    ]
    before, now = saved.get("sources", []), present.get("sources", [])
    if len(before) != len(now):
        differences.append(f"data.train had {len(before)} corpora, has {len(now)}")
        return differences
    for place, (old, new) in enumerate(zip(before, now, strict=True)):
        if old["weight"] != new["weight"]:
            differences.append(
                f"the weight of data.train[{place}] was {old['weight']}, is {new['weight']}"
            )
        if old["content_hash"] != new["content_hash"]:
            differences.append(
                f"data.train[{place}] had the content {old['content_hash'][:12]}, "
                f"has {new['content_hash'][:12]}"
            )
        sequences = {one["sequences_sha256"] for one in (old, new) if "sequences_sha256" in one}
        if len(sequences) > 1:
            differences.append(f"data.train[{place}] had its images in other sequences")
    return differences
