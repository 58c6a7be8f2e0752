"""HMC-QU: apical echocardiograms whose left ventricular wall is outlined over one heartbeat."""

import re
from collections.abc import Iterable, Iterator
from functools import partial

from shards.build_report import BuildReport, InputError
from shards.image_file import image_from_array
from shards.reading import (
    VIDEO_SUFFIXES,
    FilePair,
    RawFile,
    RawTree,
    matlab_array,
    matlab_shape,
    one_by_name,
    open_video,
    pair_files,
    read_sheet,
    resize_mask,
    with_one_mask,
)

from .annotated_image import AnnotatedImage
from .published_source import FoundImage, PublishedSource
from .source_card import SourceCard

CARD = SourceCard(
    name="hmc_qu",
    title="HMC-QU",
    licence="unknown",
    terms="Not found where it was looked for; look it up at Kaggle.",
    citation="Degerli et al., Early detection of myocardial infarction, IEEE Access 2021",
    home_page="https://www.kaggle.com/datasets/aysendegerli/hmcqu-dataset",
    layout=(
        "a folder with A4C/*.avi, 'LV Ground-truth Segmentation Masks'/Mask_*.mat and A4C.xlsx, or "
        "the older one with HMC_QU.xlsx"
    ),
    categories={"wall": "myocardium"},
    subject_rule="the name before the first underscore or blank, over all views",
    sequence_rule="the clip; frames are counted from 0",
    quirks=(
        "Masks go from 'Reference Frame' to 'End of Cycle', which count from 1 and are inclusive; "
        "a clip with another number of masks is refused.",
        "Masks of another size than the video are brought to its size.",
    ),
    exclusions=("Clips and frames without masks: all of A2C, and all outside the heartbeat.",),
    unverified=(
        "headings of the sheet: 'Reference Frame' and 'End of Cycle' are taken by name, else the "
        "third and second column from the right",
    ),
)

_PREFIX = "Mask_"
_VARIABLE = "predicted"


def find_hmc_qu(tree: RawTree, report: BuildReport) -> Iterable[FoundImage]:
    """Pair `A4C/ES0001_4CH_1.avi` with `Mask_ES0001_4CH_1.mat`; the sheet names its frames."""
    rows = (row for sheet in tree.select({".xlsx"}) for row in _heartbeats(sheet))
    ranges = one_by_name(rows, what="rows", report=report)
    pairs = pair_files(
        tree.select(VIDEO_SUFFIXES),
        masks=tree.select({".mat"}),
        image_key=lambda file: file.stem.strip(),
        mask_key=lambda file: file.stem.removeprefix(_PREFIX).strip(),
        report=report,
        without_mask="drop",
    )
    for pair in with_one_mask(pairs, report=report):
        try:
            yield from _found_frames(pair, ranges=ranges)
        except ValueError as error:
            kind = getattr(error, "kind", "unreadable or unsupported file")
            report.add(InputError(kind, str(error)))


def _heartbeats(sheet: RawFile) -> Iterator[tuple[str, tuple[int, int], str]]:
    """Yield clip, first and last frame with a mask (from 1) and place of every row with both."""
    rows = read_sheet(sheet)
    heading = [name.casefold() for name in rows[0]] if rows else []
    first = _place("reference frame", heading=heading, default=len(heading) - 3)
    last = _place("end of cycle", heading=heading, default=len(heading) - 2)
    clip = _place("echo", heading=heading, default=0)
    for row in rows[1:]:
        if len(row) > max(first, last) and _is_number(row[first]) and _is_number(row[last]):
            frames = (int(float(row[first])), int(float(row[last])))
            yield row[clip], frames, f"{sheet} (frames {frames[0]} to {frames[1]})"


def _place(name: str, *, heading: list[str], default: int) -> int:
    return heading.index(name) if name in heading else default


def _is_number(text: str) -> bool:
    return re.fullmatch(r"\d+(\.0*)?", text) is not None


def _found_frames(pair: FilePair, *, ranges: dict[str, tuple[int, int]]) -> Iterator[FoundImage]:
    num_masks = matlab_shape(pair.masks[0], name=_VARIABLE)[0]
    if pair.key not in ranges:
        raise InputError(
            "clip without a row",
            f"{pair.masks[0]}: no sheet has a row for {pair.key!r} with its first and last frame. "
            "Restore A4C.xlsx (or HMC_QU.xlsx), or remove the mask.",
        )
    first, last = ranges[pair.key]
    if first < 1 or num_masks != last - first + 1:
        raise InputError(
            "masks that fit no frames",
            f"{pair.masks[0]}: has {num_masks} masks, the sheet says frames {first} to {last}. "
            "Mend the row, or remove the mask.",
        )
    for place in range(num_masks):
        frame = first - 1 + place
        yield FoundImage(
            name=f"{pair.key}_{frame:04d}",
            files=(pair.image, *pair.masks),
            read=partial(read_wall, pair.image, mask=pair.masks[0], frame=frame, place=place),
            subject=re.split(r"[_ ]", pair.key)[0],
            sequence=pair.key,
            frame=frame,
            facts=(place,),
        )


def read_wall(video: RawFile, *, mask: RawFile, frame: int, place: int) -> AnnotatedImage:
    """Read a frame of the video and the mask at `place` of its own series."""
    pixels = open_video(video).frame(frame)
    wall = matlab_array(mask, name=_VARIABLE)[place] != 0
    rows, columns = pixels.shape[:2]
    is_other_size = wall.shape != (rows, columns)
    return AnnotatedImage(
        image=image_from_array(pixels),
        masks=(("wall", resize_mask(wall, size=(rows, columns)) if is_other_size else wall),),
        notes=("masks brought to the size of their image",) if is_other_size else (),
    )


HMC_QU = PublishedSource(card=CARD, find=find_hmc_qu)
