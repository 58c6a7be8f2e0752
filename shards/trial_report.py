"""A trial of a raw folder as lines to read, with the command that builds it."""

import dataclasses
import shlex
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

from .building.plan import BuildPlan
from .config import BuildConfig
from .sample import UltrasoundSample
from .source_trial import UNNAMED, SourceTrial

TO_FILL_IN = "CATEGORY"
"""Stands in the command where the user has to say what a class is."""


def describe_trial(trial: SourceTrial) -> Iterator[str]:
    """Yield what was found, what it would become, and what is wrong with it."""
    kinds = ", ".join(
        f"{count} {suffix or 'without extension'}" for suffix, count in trial.files.most_common(6)
    )
    yield f"{sum(trial.files.values())} files: {kinds}"
    for guess in trial.guesses:
        mark = "->" if guess is trial.chosen else "  "
        yield f"{mark} source={guess.source}: {guess.why}"
    if trial.build is None or trial.plan is None:
        yield (
            "Nothing is recognised: neither a published dataset nor masks beside images. Give "
            "source=folder with folder.images and folder.masks, or another source of own data."
        )
        return
    yield from _describe_plan(trial.plan, samples=trial.samples)
    if _lacks_secret(trial.build):
        yield "The splits were drawn with a secret of this trial; with yours they will differ."
    for what, count in sorted(trial.report.notes.items()):
        yield f"note: {what}: {count}"
    if trial.report.num_problems:
        yield f"{trial.report.num_problems} problems:"
        yield trial.report.describe_problems()
    if trial.unnamed:
        yield f"Say what these classes are: {', '.join(trial.unnamed)}; write it for {TO_FILL_IN}."
    yield "To build it:"
    yield f"  {build_command(trial.build)}"


def build_command(build: BuildConfig) -> str:
    """Return the command, with every option that differs from its default."""
    words = [f"{name}={getattr(build, name)}" for name in ("source", "root", "output")]
    defaults = BuildConfig(source=build.source, root=build.root, output=build.output)
    words += _changed(build, defaults=defaults)
    if _lacks_secret(build):
        words.append("dicom.salt_file=FILE")
    return shlex.join(["python", "launchers/build_shards.py", *words])


def _lacks_secret(build: BuildConfig) -> bool:
    return build.source == "dicom" and build.dicom.salt_file is None


def _describe_plan(plan: BuildPlan, *, samples: Sequence[UltrasoundSample]) -> Iterator[str]:
    splits = ", ".join(f"{count} {split}" for split, count in plan.num_samples.items())
    planned = [one for shard in plan.shards for one in shard.samples]
    subjects = {one.subject for one in planned if one.subject_is_known}
    yield f"{len(planned)} images ({splits}) of {len(subjects) or 'unknown'} subjects"
    objects = Counter(thing.category for one in samples for thing in one.objects)
    named = ", ".join(f"{count} {category}" for category, count in objects.most_common())
    sides = [side for one in samples for side in one.size]
    if sides:
        yield (
            f"{len(samples)} of them were read: sides of {min(sides)} to {max(sides)} pixels; "
            f"objects: {named or 'none'}"
        )


def _changed(options: Any, *, defaults: Any, prefix: str = "") -> Iterator[str]:  # noqa: ANN401
    """Yield `name=value` of every option that differs, sections unfolded."""
    for field in dataclasses.fields(options):
        value, default = getattr(options, field.name), getattr(defaults, field.name)
        name = f"{prefix}{field.name}"
        if value == default:
            continue
        if dataclasses.is_dataclass(value):
            yield from _changed(value, defaults=default, prefix=f"{name}.")
        elif isinstance(value, dict):
            for one, word in value.items():
                if not one.startswith(UNNAMED):
                    yield f"{name}.{one}={TO_FILL_IN if word.startswith(UNNAMED) else word}"
        elif isinstance(value, list):
            yield f"{name}=[{','.join(map(str, value))}]"
        else:
            yield f"{name}={str(value).lower() if isinstance(value, bool) else value}"
