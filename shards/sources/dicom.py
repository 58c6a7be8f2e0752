"""Own data as DICOM images and clips, with DICOM segmentations or mask pictures.

Nothing of a header but pixel spacing enters a shard: patient, series and instance are hashed.
"""

from collections.abc import Iterator, Mapping
from functools import partial

import numpy as np

from shards.build_report import BuildReport, InputError
from shards.config import BuildConfig
from shards.image_file import image_from_array
from shards.own_data_config import DicomConfig
from shards.reading import (
    PICTURE_SUFFIXES,
    DicomHeader,
    RawFile,
    RawTree,
    Region,
    is_dicom,
    local_path,
    read_dicom_frame,
    read_dicom_header,
    read_segment,
)

from .annotated_image import AnnotatedImage, check_sizes
from .dicom_masks import FrameMasks, masks_of_pictures, masks_of_segmentations
from .folder import read_masks
from .own_data import Classes, OwnData, plan_own_data
from .published_source import FoundImage
from .source_plan import SourcePlan

ULTRASOUND = frozenset({"US", "IVUS"})
"""Modalities; files of others are counted and left out."""


def plan_dicom(config: BuildConfig, report: BuildReport) -> SourcePlan:
    """Plan the frames of every ultrasound image."""
    options = config.dicom
    if options.salt_file is None:
        raise ValueError(
            "source=dicom needs dicom.salt_file=FILE, a secret that patients are hashed with, so "
            "that no identifier enters a shard. Make one: "
            "python -c 'import secrets; print(secrets.token_hex(32))' > FILE; keep it secret."
        )
    data = OwnData.from_options(
        options,
        layout=f"DICOM files of ultrasound, with {options.masks or 'DICOM segmentations'}",
        usual_subject="the hashed patient of the header, else the hashed study",
    )
    find = partial(find_dicom, options=options, data=data)
    return plan_own_data(data, find=find, config=config, report=report)


def find_dicom(
    tree: RawTree, report: BuildReport, *, options: DicomConfig, data: OwnData
) -> Iterator[FoundImage]:
    """Read every header, find what outlines which frame, and take the frames to take."""
    images, segmentations = _headers(tree, report=report)
    if options.masks:
        outlined = masks_of_pictures(images, tree=tree, options=options, data=data, report=report)
    else:
        outlined = masks_of_segmentations(segmentations, images=images, data=data, report=report)
    for header in images.values():
        masks = outlined.get(header.instance, {})
        try:
            read = partial(
                read_dicom,
                header.file,
                regions=_regions(header, options=options),
                crops=options.outside == "crop",
                spacing=_spacing(header, report=report),
                classes=data.classes,
            )
            for frame in _frames_to_take(header, masks=masks, options=options, report=report):
                of_frame = masks.get(frame, FrameMasks())
                yield data.found(
                    header.instance,
                    path=local_path(header.file, tree=tree),
                    files=(header.file, *of_frame.files),
                    read=partial(read, frame=frame, masks=of_frame),
                    usual_subject=header.patient or header.study or None,
                    sequence=header.instance if header.num_frames > 1 else None,
                    frame=frame if header.num_frames > 1 else None,
                )
        except InputError as problem:
            report.add(problem)


def read_dicom(
    file: RawFile,
    *,
    frame: int,
    masks: FrameMasks,
    regions: tuple[Region, ...],
    crops: bool,
    spacing: tuple[float, float] | None,
    classes: Classes,
) -> AnnotatedImage:
    """Read a frame and its masks, and cut off, or make black, what lies outside the regions.

    Args:
        file: The image.
        frame: From 0.
        masks: What outlines it, on the whole frame.
        regions: Where it shows tissue; none takes it whole.
        crops: Whether to cut off what lies around the regions.
        spacing: As the header tells it.
        classes: What the masks may show.
    """
    pixels, window = read_dicom_frame(file, frame=frame)
    found = list(read_masks(masks.pictures, image=pixels, classes=classes))
    for segment in masks.segments:
        mask = read_segment(segment)
        check_sizes(pixels, masks={segment.segment: mask}, where=str(segment.file))
        found.append((classes.check(segment.label, where=str(segment.file)), mask))
    notes: tuple[str, ...] = ()
    if regions:
        valid = _valid_area(regions, size=(pixels.shape[0], pixels.shape[1]), where=str(file))
        box = _box_of(valid) if crops else (slice(None), slice(None))
        notes = ("masks that reach out of the regions, cut off",) * sum(
            bool((mask & ~valid).any()) for _, mask in found
        )
        pixels[~valid] = 0
        pixels = pixels[box]
        found = [(word, (mask & valid)[box]) for word, mask in found]
    return AnnotatedImage(
        image=image_from_array(pixels, intensity_window=window),
        masks=tuple(found),
        spacing_millimetres=spacing,
        notes=notes,
    )


def _headers(
    tree: RawTree, *, report: BuildReport
) -> tuple[dict[str, DicomHeader], list[DicomHeader]]:
    """Return the ultrasound images by SOP Instance UID, and the segmentations."""
    images: dict[str, DicomHeader] = {}
    segmentations = []
    for file in tree.files:
        if file.suffix in PICTURE_SUFFIXES or not is_dicom(file):
            if file.suffix == ".dcm":
                message = f"{file}: does not begin as a DICOM file does. Export it again."
                report.add(InputError("unreadable or unsupported file", message))
            continue
        try:
            header = read_dicom_header(file)
        except ValueError as error:
            report.add(InputError("unreadable or unsupported file", str(error)))
            continue
        if header.is_segmentation:
            segmentations.append(header)
        elif header.num_frames == 0 or header.modality not in ULTRASOUND:
            report.note("DICOM files that hold no ultrasound image, left out")
        elif images.setdefault(header.instance, header) is not header:
            message = f"{file} and {images[header.instance].file}: are one image. Remove one."
            report.add(InputError("two files with one name", message))
    return images, segmentations


def _frames_to_take(
    header: DicomHeader,
    *,
    masks: Mapping[int, FrameMasks],
    options: DicomConfig,
    report: BuildReport,
) -> list[int]:
    num_frames = header.num_frames
    if masks and options.frames == "annotated":
        if len(masks) < num_frames:
            report.note("frames without a mask, left out", count=num_frames - len(masks))
        return sorted(masks)
    if masks or options.without_mask == "keep":
        return list(range(num_frames))
    if options.without_mask == "drop":
        report.note("images that lack a mask and were left out")
        return []
    raise InputError(
        "image without a mask",
        f"{header.file}: no segmentation and no mask picture (dicom.masks) outlines it. Add one; "
        "or take such images as showing nothing of the categories with dicom.without_mask=keep, or "
        "leave them out with dicom.without_mask=drop.",
    )


def _regions(header: DicomHeader, *, options: DicomConfig) -> tuple[Region, ...]:
    if options.outside == "keep":
        return ()
    if header.regions and header.regions_fit:
        return header.regions
    if options.region:
        left, top, right, bottom = options.region
        return (Region(top=top, left=left, bottom=bottom + 1, right=right + 1),)
    found = "has no SequenceOfUltrasoundRegions with a two-dimensional image"
    if header.regions:
        found = "is smaller than its SequenceOfUltrasoundRegions says, so it was resized or cut"
    raise InputError(
        "image whose regions are not told",
        f"{header.file}: {found}; text that is burned in cannot be told from the image. Give its "
        "place with dicom.region=[x0,y0,x1,y1]; or, if you have looked and there is no text, "
        "dicom.outside=keep.",
    )


def _spacing(header: DicomHeader, *, report: BuildReport) -> tuple[float, float] | None:
    """Return the spacing that all regions agree on; where they do not, it is not guessed."""
    if not header.regions_fit:
        report.note("DICOM images that were resized or cut, whose spacing is left open")
        return None
    stated = {region.spacing_millimetres for region in header.regions} - {None}
    if len(stated) > 1:
        report.note("DICOM images whose regions differ in spacing, which is left open")
        return None
    return stated.pop() if stated else header.spacing_millimetres


def _valid_area(regions: tuple[Region, ...], *, size: tuple[int, int], where: str) -> np.ndarray:
    valid = np.zeros(size, dtype=bool)
    for one in regions:
        valid[max(one.top, 0) : one.bottom, max(one.left, 0) : one.right] = True
    if not valid.any():
        raise InputError(
            "region outside the image",
            f"{where}: its regions {[(one.left, one.top) for one in regions]} lie outside of its "
            f"{size[0]} x {size[1]} pixels. Give dicom.region, or take the file out.",
        )
    return valid


def _box_of(valid: np.ndarray) -> tuple[slice, slice]:
    rows, columns = np.flatnonzero(valid.any(axis=1)), np.flatnonzero(valid.any(axis=0))
    return slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)
