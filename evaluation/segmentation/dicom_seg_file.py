"""Masks of a DICOM image as a DICOM segmentation, which viewers lay over that image."""

import importlib.metadata
from collections.abc import Mapping
from pathlib import Path

import numpy as np

MISSING_IS_UNKNOWN = (
    "PatientID", "PatientName", "PatientBirthDate", "PatientSex", "AccessionNumber", "StudyID",
    "StudyDate", "StudyTime",
)  # fmt: skip
"""A segmentation repeats these; where the image was stripped of them they are written empty."""


def write_dicom_seg(
    masks: Mapping[str, np.ndarray],
    path: Path,
    *,
    source: Path,
    spacing_millimetres: tuple[float, float] | None,
    model: str,
) -> Path:
    """Write one binary segment for each mask, with the patient and study of the source.

    Args:
        masks: Bool, shape (row, column), by name.
        path: File to write.
        source: DICOM file of one frame that the masks belong to.
        spacing_millimetres: Between its rows and columns, where it is known.
        model: What the segments say made them.

    Raises:
        ValueError: The source lacks what a segmentation must repeat, or highdicom is missing.
    """
    try:
        import highdicom  # noqa: PLC0415 -- of the extra `formats`
        from pydicom import dcmread  # noqa: PLC0415
        from pydicom.sr.codedict import codes  # noqa: PLC0415
    except ModuleNotFoundError as error:
        raise ValueError(
            "outputs=[dicom_seg] needs the package highdicom. Install the extra: "
            "pip install -e '.[formats]'."
        ) from error
    image = dcmread(source)
    for name in MISSING_IS_UNKNOWN:
        if name not in image:
            setattr(image, name, None)
    algorithm = highdicom.AlgorithmIdentificationSequence(
        name=model, family=codes.cid7162.ArtificialIntelligence, version="1"
    )
    segments = [
        highdicom.seg.SegmentDescription(
            segment_number=number,
            segment_label=name,
            segmented_property_category=codes.SCT.AnatomicalStructure,
            segmented_property_type=codes.SCT.AnatomicalStructure,
            algorithm_type=highdicom.seg.SegmentAlgorithmTypeValues.AUTOMATIC,
            algorithm_identification=algorithm,
        )
        for number, name in enumerate(masks, start=1)
    ]
    measures = None
    if spacing_millimetres is not None:
        measures = highdicom.PixelMeasuresSequence(spacing_millimetres, slice_thickness=None)
    try:
        segmentation = highdicom.seg.Segmentation(
            source_images=[image],
            pixel_array=np.stack(list(masks.values()), axis=-1)[None].astype(np.uint8),
            segmentation_type=highdicom.seg.SegmentationTypeValues.BINARY,
            segment_descriptions=segments,
            series_instance_uid=highdicom.UID(),
            series_number=900,
            sop_instance_uid=highdicom.UID(),
            instance_number=1,
            manufacturer="samuspretrain",
            manufacturer_model_name=model,
            software_versions=importlib.metadata.version("samuspretrain"),
            device_serial_number="none",
            pixel_measures=measures,
            omit_empty_frames=False,
        )
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{source}: highdicom refuses it ({error})") from error
    segmentation.save_as(path)
    return path
