"""Small DICOM files of ultrasound as machines write them, and segmentations of them."""

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from pydicom import Dataset, FileMetaDataset
from pydicom import Sequence as DicomSequence
from pydicom.encaps import encapsulate
from pydicom.pixels.utils import pack_bits
from pydicom.uid import (
    ExplicitVRLittleEndian,
    JPEGBaseline8Bit,
    RLELossless,
    SegmentationStorage,
    UltrasoundMultiFrameImageStorage,
    generate_uid,
)

PATIENT_NAME = "Rosenzweig^Philomena"
PATIENT_ID = "HOSP-0815-4711"
BIRTH_DATE = "19340229"


@dataclass(frozen=True, kw_only=True)
class Clip:
    """What to write: frames (row column) or (row column 3), and what the header says."""

    frames: Sequence[np.ndarray]
    patient: str = PATIENT_ID
    study: str = field(default_factory=lambda: str(generate_uid()))
    instance: str = field(default_factory=lambda: str(generate_uid()))
    regions: Sequence[Dataset] = ()
    compression: str = ""
    """`rle`, `jpeg`, or none."""

    header: Mapping[str, Any] = field(default_factory=dict)
    """Elements to set last."""


def region(
    left: int, top: int, right: int, bottom: int, *, centimetres: float = 0.02, kind: int = 1
) -> Dataset:
    """Return an item of SequenceOfUltrasoundRegions; pixels are twice as high as wide."""
    item = Dataset()
    item.RegionSpatialFormat = kind
    item.RegionDataType = 1
    item.RegionLocationMinX0, item.RegionLocationMinY0 = left, top
    item.RegionLocationMaxX1, item.RegionLocationMaxY1 = right, bottom
    item.PhysicalUnitsXDirection = item.PhysicalUnitsYDirection = 3
    item.PhysicalDeltaX, item.PhysicalDeltaY = centimetres, 2 * centimetres
    return item


def save_clip(path: Path, clip: Clip) -> Clip:
    """Write a clip, or a still where it has one frame."""
    pixels = np.stack(clip.frames)
    dataset = _identified(UltrasoundMultiFrameImageStorage, patient=clip.patient)
    dataset.SOPInstanceUID, dataset.StudyInstanceUID = clip.instance, clip.study
    dataset.Modality = "US"
    if clip.regions:
        dataset.SequenceOfUltrasoundRegions = DicomSequence(clip.regions)
    if len(pixels) > 1:
        dataset.NumberOfFrames = len(pixels)
    dataset.Rows, dataset.Columns = pixels.shape[1:3]
    is_colour = pixels.ndim == 4
    dataset.SamplesPerPixel = 3 if is_colour else 1
    dataset.PhotometricInterpretation = "RGB" if is_colour else "MONOCHROME2"
    if is_colour:
        dataset.PlanarConfiguration = 0
    dataset.BitsAllocated = dataset.BitsStored = 8 * pixels.dtype.itemsize
    dataset.HighBit, dataset.PixelRepresentation = dataset.BitsStored - 1, 0
    dataset.PixelData = pixels.tobytes() + b"\0" * (pixels.nbytes % 2)
    dataset["PixelData"].VR = "OB" if pixels.dtype == np.uint8 else "OW"
    if clip.compression == "jpeg":
        dataset.PixelData = encapsulate([_jpeg(frame) for frame in clip.frames])
        dataset["PixelData"].VR = "OB"
        dataset.file_meta.TransferSyntaxUID = JPEGBaseline8Bit
        if is_colour:
            dataset.PhotometricInterpretation = "YBR_FULL_422"
    for name, value in clip.header.items():
        setattr(dataset, name, value)
    if clip.compression == "rle":
        dataset.compress(RLELossless, generate_instance_uid=False)
    _save(dataset, path)
    return clip


def save_segmentation(
    path: Path,
    *,
    of: Clip,
    masks: Mapping[tuple[str, int], np.ndarray],
    names_frames: bool = True,
) -> None:
    """Write a binary segmentation: (segment's label, frame of the clip from 0) -> mask."""
    dataset = _identified(SegmentationStorage, patient=of.patient)
    dataset.SOPInstanceUID, dataset.StudyInstanceUID = generate_uid(), of.study
    dataset.Modality, dataset.SegmentationType = "SEG", "BINARY"
    labels = list(dict.fromkeys(label for label, _ in masks))
    dataset.SegmentSequence = DicomSequence([_segment(labels, one) for one in labels])
    dataset.SharedFunctionalGroupsSequence = DicomSequence([Dataset()])
    dataset.PerFrameFunctionalGroupsSequence = DicomSequence(
        [
            _groups(labels.index(label) + 1, of=of, frame=frame if names_frames else None)
            for label, frame in masks
        ]
    )
    values = np.stack(list(masks.values())).astype(np.uint8)
    dataset.NumberOfFrames = len(values)
    dataset.Rows, dataset.Columns = values.shape[1:]
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.BitsAllocated = dataset.BitsStored = 1
    dataset.HighBit = dataset.PixelRepresentation = 0
    dataset.PixelData = pack_bits(values)
    dataset["PixelData"].VR = "OB"
    _save(dataset, path)


def _identified(storage: str, *, patient: str) -> Dataset:
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.SOPClassUID = storage
    dataset.PatientName, dataset.PatientID = PATIENT_NAME, patient
    dataset.PatientBirthDate = BIRTH_DATE
    return dataset


def _save(dataset: Dataset, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    dataset.save_as(path, enforce_file_format=True)


def _jpeg(frame: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(frame).save(buffer, format="JPEG", quality=95)
    return buffer.getvalue()


def _segment(labels: list[str], label: str) -> Dataset:
    item = Dataset()
    item.SegmentNumber, item.SegmentLabel = labels.index(label) + 1, label
    return item


def _groups(segment: int, *, of: Clip, frame: int | None) -> Dataset:
    source, derivation, identification, groups = (Dataset() for _ in range(4))
    source.ReferencedSOPClassUID = UltrasoundMultiFrameImageStorage
    source.ReferencedSOPInstanceUID = of.instance
    if frame is not None:
        source.ReferencedFrameNumber = frame + 1
    derivation.SourceImageSequence = DicomSequence([source])
    identification.ReferencedSegmentNumber = segment
    groups.DerivationImageSequence = DicomSequence([derivation])
    groups.SegmentIdentificationSequence = DicomSequence([identification])
    return groups
