"""Regional-US brachial plexus: videos, and masks of single frames as noisy JPEG."""

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from functools import partial

from shards.build_report import BuildReport, InputError
from shards.reading import VIDEO_SUFFIXES, RawFile, RawTree, files_by_name, one_by_name

from .annotated_image import MaskFile, read_masked_video_frame
from .published_source import FoundImage, PublishedSource
from .source_card import SourceCard

THRESHOLD = 100

CARD = SourceCard(
    name="brachial_plexus",
    title="Regional-US brachial plexus",
    licence="LicenseRef-brachial-plexus-data-use-agreement",
    terms="Data use agreement in the repository's README: not for commercial use.",
    citation="Tyagi et al., Nerve block target localization and needle guidance, 2024",
    home_page="https://github.com/Regional-US/brachial_plexus",
    layout="MACHINE/videos/VIDEO.mp4 with MACHINE/ac_masks/VIDEO/VIDEO_FRAME.jpg, and needle masks",
    categories={"plexus": "nerve_plexus", "needle": "needle"},
    subject_rule="unknown; a video stays together",
    sequence_rule="the video, with its machine",
    quirks=(
        "Masks are JPEG: grey values from 100 count.",
        "Mask and frame are paired by the number in the mask's name, not by position: numbers "
        "are missing.",
        "Masks may be empty: such frames are negatives.",
    ),
    exclusions=("Frames without a mask of the plexus: nobody looked at them.",),
    unverified=(
        "that the number in a mask's name counts frames from 0",
        "the name of the folder of needle masks",
        "that a frame without needle mask shows no needle",
    ),
)

_NAME = re.compile(r"(?P<video>.+)_(?P<frame>\d+)")


def find_brachial_plexus(tree: RawTree, report: BuildReport) -> Iterable[FoundImage]:
    """Give every mask of the plexus its frame, by machine, video and number."""
    videos = files_by_name(
        tree.select(VIDEO_SUFFIXES),
        name_of=lambda file: _machine_and(file, name=file.stem),
        report=report,
    )
    masks: dict[tuple[str, str, int], dict[str, RawFile]] = defaultdict(dict)
    named = one_by_name(_named_masks(tree, report=report), what="files", report=report)
    for (machine, name, frame, kind), file in named.items():
        masks[machine, name, frame][kind] = file
    for (machine, name, frame), files in sorted(masks.items()):
        video = videos.get((machine, name))
        if video is None:
            report.add(_without_video(next(iter(files.values())), name=name))
        elif "plexus" not in files:
            report.note("frames with a mask of the needle alone, left out")
        else:
            yield _found(video, masks=files, machine=machine, frame=frame)


def _named_masks(
    tree: RawTree, *, report: BuildReport
) -> Iterator[tuple[tuple[str, str, int, str], RawFile, str]]:
    """Yield machine, video, frame and kind of every mask, with the file."""
    for file in tree.select({".jpg", ".jpeg"}):
        matched, kind = _NAME.fullmatch(file.stem), _kind(file)
        if matched is None or kind is None:
            report.note("files whose name does not fit the documented layout")
            continue
        machine, video = _machine_and(file, name=matched["video"])
        yield (machine, video, int(matched["frame"]), kind), file, str(file)


def _kind(file: RawFile) -> str | None:
    if any("needle" in folder for folder in file.folders):
        return "needle"
    return "plexus" if any(folder.endswith("_masks") for folder in file.folders) else None


def _machine_and(file: RawFile, *, name: str) -> tuple[str, str]:
    """Return what lies above the folder of videos or masks, and the name."""
    for place, folder in enumerate(file.folders):
        if folder == "videos" or folder.endswith("_masks") or "needle" in folder:
            return "/".join(file.folders[max(place - 1, 0) : place]), name
    return file.folder, name


def _without_video(file: RawFile, *, name: str) -> InputError:
    return InputError(
        "file missing", f"{file}: there is no video {name}. Restore it, or remove its masks."
    )


def _found(video: RawFile, *, masks: dict[str, RawFile], machine: str, frame: int) -> FoundImage:
    name = f"{machine}-{video.stem}"
    wanted = tuple(
        MaskFile(category=kind, file=file, at_least=THRESHOLD)
        for kind, file in sorted(masks.items(), reverse=True)
    )
    return FoundImage(
        name=f"{name}_{frame:04d}",
        files=(video, *masks.values()),
        read=partial(read_masked_video_frame, video, frame=frame, masks=wanted),
        sequence=name,
        frame=frame,
    )


BRACHIAL_PLEXUS = PublishedSource(card=CARD, find=find_brachial_plexus)
