"""The frames of an image volume and its mask volume, each an image of a source."""

from collections.abc import Callable, Collection, Iterator
from functools import partial

import numpy as np

from shards.build_report import BuildReport, InputError
from shards.reading import FilePair, annotated_frames, num_frames_of

from .annotated_image import read_volume_frame
from .published_source import FoundImage


def found_frames(
    pair: FilePair,
    *,
    classes: Collection[int],
    subject: str | None,
    report: BuildReport,
    split: str | None = None,
    prepare: Callable[[np.ndarray], np.ndarray] | None = None,
    min_annotated_share: float | None = None,
) -> Iterator[FoundImage]:
    """Yield every frame, from the header alone; one that cannot be read goes into the report.

    Args:
        pair: A volume, its mask, and the key that names both.
        classes: Values that the mask may hold beside 0.
        subject: Whose volume it is.
        report: Gets a volume whose header is broken.
        split: Of the source's own.
        prepare: As of `read_volume_frame`.
        min_annotated_share: None takes every frame. Else the mask is read now, and only frames of
            which more than this share is marked are taken: for sources that mark few of them.
    """
    try:
        num_frames = num_frames_of(pair.image)
        frames = tuple(range(num_frames))
        if min_annotated_share is not None:
            frames = annotated_frames(pair.masks[0], min_fraction=min_annotated_share)
            report.note("frames without annotation, left out", count=num_frames - len(frames))
    except ValueError as error:
        report.add(InputError("unreadable or unsupported file", str(error)))
        return
    for frame in frames:
        yield FoundImage(
            name=f"{pair.key}_{frame:04d}",
            files=(pair.image, *pair.masks),
            read=partial(
                read_volume_frame,
                pair.image,
                mask=pair.masks[0],
                frame=frame,
                classes=classes,
                prepare=prepare,
            ),
            subject=subject,
            sequence=pair.key,
            frame=frame,
            split=split,
        )
