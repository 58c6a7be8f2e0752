"""What outlines the frames of DICOM images: frames of segmentations, or mask pictures."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from shards.build_report import BuildReport, InputError
from shards.own_data_config import DicomConfig
from shards.reading import (
    PICTURE_SUFFIXES,
    DicomHeader,
    PathPattern,
    RawFile,
    RawTree,
    SegmentFrame,
    read_segmentation,
)

from .folder import named_mask
from .own_data import OwnData
from .own_pairs import pair_by_pattern


@dataclass(frozen=True, kw_only=True)
class FrameMasks:
    """What outlines one frame: pictures with their class, or frames of segmentations."""

    pictures: tuple[tuple[str | None, RawFile], ...] = ()
    segments: tuple[SegmentFrame, ...] = ()

    @property
    def files(self) -> tuple[RawFile, ...]:
        """Return the files that the masks are read from, each once."""
        files = [file for _, file in self.pictures] + [one.file for one in self.segments]
        return tuple(dict.fromkeys(files))


Outlined = dict[str, dict[int, FrameMasks]]
"""SOP Instance UID -> frame, from 0 -> what outlines it."""


def masks_of_pictures(
    images: Mapping[str, DicomHeader],
    *,
    tree: RawTree,
    options: DicomConfig,
    data: OwnData,
    report: BuildReport,
) -> Outlined:
    """Return what the pictures of `dicom.masks` outline, by the words of their paths."""
    pattern = PathPattern(options.masks, option="dicom.masks")
    header_of = {header.file: header for header in images.values()}
    pairs = pair_by_pattern(
        [*header_of, *tree.select(PICTURE_SUFFIXES)],
        images=PathPattern(options.images, option="dicom.images"),
        masks=pattern,
        tree=tree,
        without_mask="keep",
        report=report,
    )
    outlined: Outlined = {}
    for pair in pairs:
        header = header_of.get(pair.image)
        if header is None:
            report.note("pictures that fit dicom.images and are no DICOM files, left out")
            continue
        of_frame: dict[int, list[tuple[str | None, RawFile]]] = defaultdict(list)
        for mask in pair.masks:
            try:
                frame = _frame_of(mask, pattern=pattern, header=header, tree=tree)
                of_frame[frame].append(named_mask(mask, pattern=pattern, tree=tree, data=data))
            except InputError as problem:
                report.add(problem, is_obstacle=True)
        outlined[header.instance] = {
            frame: FrameMasks(pictures=tuple(found)) for frame, found in of_frame.items()
        }
    return outlined


def masks_of_segmentations(
    segmentations: Iterable[DicomHeader],
    *,
    images: Mapping[str, DicomHeader],
    data: OwnData,
    report: BuildReport,
) -> Outlined:
    """Return what the segmentations outline, by the images and frames that they name.

    One that cannot be used stops the build: without it, what it outlines would count as absent.
    """
    found: dict[str, dict[int, list[SegmentFrame]]] = defaultdict(lambda: defaultdict(list))
    for segmentation in segmentations:
        try:
            for segment in read_segmentation(segmentation.file):
                data.classes.check(segment.label, where=str(segment.file))
                for frame in _frames_of(segment, image=images.get(segment.instance)):
                    found[segment.instance][frame].append(segment)
        except InputError as problem:
            report.add(problem, is_obstacle=True)
        except ValueError as error:
            problem = InputError("unreadable or unsupported file", str(error))
            report.add(problem, is_obstacle=True)
    return {
        instance: {frame: FrameMasks(segments=tuple(some)) for frame, some in frames.items()}
        for instance, frames in found.items()
    }


def _frame_of(mask: RawFile, *, pattern: PathPattern, header: DicomHeader, tree: RawTree) -> int:
    words = pattern.match(mask, tree=tree) or {}
    frame = int(words.get("frame", 0))
    if frame >= header.num_frames or ("frame" not in words and header.num_frames > 1):
        raise InputError(
            "mask of no frame",
            f"{mask}: {header.file} has the frames 0 to {header.num_frames - 1}, and the mask's "
            f"path says {words.get('frame', 'none')}. Count frames from 0, with {{frame}} in "
            "dicom.masks.",
        )
    return frame


def _frames_of(segment: SegmentFrame, *, image: DicomHeader | None) -> tuple[int, ...]:
    if image is None:
        raise InputError(
            "file missing",
            f"{segment.file}: outlines the image {segment.instance}, which does not lie below "
            "root. Add it, or remove the segmentation.",
        )
    frames = segment.image_frames
    if frames is None and image.num_frames == 1:
        frames = (0,)
    if frames is None or max(frames) >= image.num_frames:
        raise InputError(
            "mask of no frame",
            f"{segment.file}: its frame {segment.frame + 1} outlines no frame of {image.file}, "
            f"which has {image.num_frames}. Export it with ReferencedFrameNumber.",
        )
    return frames
