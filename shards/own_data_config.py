"""Options of own data, which need no code: what to take, and what it shows."""

import re
from dataclasses import dataclass, field
from typing import ClassVar, Literal


@dataclass(kw_only=True)
class OwnDataConfig:
    """What every kind of own data says about itself."""

    section: ClassVar[str]
    """As typed before the dot of an option, and as the source is called."""

    name: str = ""
    """The dataset's own name, which begins every key: letters a to z, digits, `_` and `-`."""

    licence: str = "unknown"
    """SPDX identifier of the terms that the data are under."""

    citation: str = ""
    """What to cite."""

    home_page: str = ""
    """Where the data are described."""

    categories: dict[str, str] = field(default_factory=dict)
    """Class as the files have it -> category, as `categories.1=thyroid_nodule`. A class that is
    called like a category of `shards/vocabulary.py` needs no entry."""

    organs: dict[str, str] = field(default_factory=dict)
    """Category that the vocabulary lacks -> its organ, as `organs.tendon=muscle`."""

    subject: str = ""
    """Regular expression that finds the subject in a file's path: its first group, or all of it.
    Empty where nothing tells; then each image, or sequence, stands alone."""

    split: str = ""
    """Regular expression that finds train, val or test in a file's path; empty for none."""

    spacing_millimetres: list[float] = field(default_factory=list)
    """Distance of pixel centres along rows and along columns, where files do not tell it."""

    without_mask: Literal["refuse", "drop", "keep"] = "refuse"
    """An image without any mask is a problem, is left out and counted, or is kept as one that
    shows nothing of the categories."""

    salt_file: str | None = None
    """File with a secret of 16 characters or more. With it, subjects, sequences and names enter
    the corpus as hashes only; the same secret gives the same hashes."""

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[a-z0-9_-]*", self.name):
            raise ValueError(
                f"{self.section}.name={self.name}: expected letters a to z, digits, _ and - only."
            )
        spacing = self.spacing_millimetres
        if spacing and (len(spacing) != 2 or min(spacing) <= 0):
            raise ValueError(
                f"{self.section}.spacing_millimetres={spacing}: expected two positive numbers, "
                "along rows and along columns, as [0.1,0.1]."
            )


@dataclass(kw_only=True)
class FolderConfig(OwnDataConfig):
    """Pictures and mask pictures, paired by pattern."""

    section: ClassVar[str] = "folder"

    images: str = "images/{name}.*"
    """Pattern of the images' paths below `root`; `{name}` pairs them with masks."""

    masks: str = "masks/{name}.*"
    """Pattern of the masks' paths; with `{category}` each shows the class that its path names."""


@dataclass(kw_only=True)
class CocoConfig(OwnDataConfig):
    """COCO files: polygons and run lengths."""

    section: ClassVar[str] = "coco"

    annotations: str = "**/*.json"
    """Pattern of the annotation files' paths below `root`."""

    crowd: Literal["keep", "drop"] = "keep"
    """Annotations with `iscrowd`: some tools set it on every run length, so they are objects;
    `drop` leaves them out and counts them."""


@dataclass(kw_only=True)
class NiftiConfig(OwnDataConfig):
    """NIfTI and MetaImage files: images and volumes of class values, paired by pattern."""

    section: ClassVar[str] = "nifti"

    images: str = "images/{name}.*"
    """Pattern of the images' paths below `root`; `{name}` pairs them with masks."""

    masks: str = "labels/{name}.*"
    """Pattern of the paths of the label volumes."""

    axes: str = "zyx"
    """The file's axes that are frame, row and column; `zxy` turns each frame over its diagonal.
    With two letters the file is a single image. Axes that are not named must be of length 1."""

    frames: Literal["annotated", "all"] = "annotated"
    """Only frames of which something is marked, or all: then the others show nothing."""

    def __post_init__(self) -> None:
        super().__post_init__()
        letters = set(self.axes)
        is_known = letters <= set("xyzt") and len(letters) == len(self.axes)
        if not is_known or len(self.axes) not in {2, 3}:
            raise ValueError(
                f"nifti.axes={self.axes}: expected two or three different letters of x, y, z and "
                "t, as zyx: the axes of frame, row and column."
            )


@dataclass(kw_only=True)
class DicomConfig(OwnDataConfig):
    """DICOM images and clips, with DICOM segmentations or with mask pictures."""

    section: ClassVar[str] = "dicom"

    images: str = "./{name}"
    """Pattern of the paths of DICOM images below `root`; `{name}` pairs them with mask pictures."""

    masks: str = ""
    """Pattern of mask pictures, as `masks/{name}_{frame}.png` with frames counted from 0. Empty
    takes masks from the DICOM segmentations that lie below `root`."""

    outside: Literal["crop", "black", "keep"] = "crop"
    """Pixels outside the ultrasound regions, where text is burned in: cut off, made black, or
    kept, which is right only where somebody has looked that there is none."""

    region: list[int] = field(default_factory=list)
    """First column, first row, last column and last row of the image proper, for files that do
    not tell it themselves."""

    frames: Literal["annotated", "all"] = "annotated"
    """Only frames with a mask, or all: then the others show nothing."""

    def __post_init__(self) -> None:
        super().__post_init__()
        box = self.region
        if box and (len(box) != 4 or box[0] > box[2] or box[1] > box[3] or min(box) < 0):
            raise ValueError(
                f"dicom.region={box}: expected first column, first row, last column and last row, "
                "as [0,40,639,479]."
            )


OWN_DATA_SECTIONS = ("folder", "coco", "nifti", "dicom")
"""Of `BuildConfig`; each is a source of the same name."""
