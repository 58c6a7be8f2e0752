"""SA-Med2D-20M: the ultrasound images of a collection of many datasets."""

from collections import defaultdict
from collections.abc import Iterable
from functools import partial
from typing import Any

from shards.build_report import BuildReport, InputError
from shards.reading import RawFile, RawTree, read_json

from .annotated_image import MaskFile, read_masked_image
from .published_source import FoundImage, PublishedSource
from .source_card import SourceCard

CARD = SourceCard(
    name="sa_med2d_20m",
    title="SA-Med2D-20M, ultrasound part",
    licence="CC-BY-NC-SA-4.0",
    terms="Of the collection; its sources keep their own terms.",
    citation="Ye et al., SA-Med2D-20M dataset: segment anything in 2D medical imaging, 2023",
    home_page="https://huggingface.co/datasets/OpenGVLab/SA-Med2D-20M",
    layout=(
        "SAMed2Dv1/ with SAMed2D_v1.json, SAMed2D_v1_class_mapping_id.json, and of images/ and "
        "masks/ the files whose names begin with ultrasound_"
    ),
    categories={
        "ultrasound_nerve_segmentation": "nerve_plexus",
        "breast_ultrasound_images_dataset": "breast_nodule",
    },
    subject_rule="dataset and case, both in the name",
    sequence_rule="the case; direction and slice are in the name",
    quirks=(
        "Join the parts of the zip and unpack only the ultrasound files: the whole has millions.",
        "Both datasets are copies, of the Kaggle nerve set and of BUSI: do not train on one and "
        "test on the other.",
        "Each mask file is one instance, and an object of its own.",
        "The collection lists files that do not exist, and masks of other sizes: each is reported.",
    ),
    exclusions=("Other modalities.", "Classes that are unions of others (union_*)."),
    unverified=("names of the classes, which are not used: the dataset gives the category",),
)

_LIST = "SAMed2D_v1"
_CLASSES = "SAMed2D_v1_class_mapping_id"
_MODALITY = "ultrasound"


def find_sa_med2d(tree: RawTree, report: BuildReport) -> Iterable[FoundImage]:
    """Take the ultrasound images that `SAMed2D_v1.json` lists, with the masks it names."""
    unions = _union_classes(tree)
    for listing in [file for file in tree.select({".json"}) if file.stem == _LIST]:
        folder = listing.path.parent
        files = {
            file.path.relative_to(folder).as_posix(): file
            for file in tree.select({".png"})
            if file.path.is_relative_to(folder)
        }
        content = _read_mapping(listing)
        for name, masks in sorted(content.items()):
            if not name.startswith(f"images/{_MODALITY}"):
                continue
            parts = name.removesuffix(".png").split("--")
            missing = [one for one in (name, *masks) if one not in files]
            if missing or len(parts) != 4:
                report.add(_problem(listing, name=name, missing=missing))
                continue
            kept = [files[one] for one in masks if _class_of(one) not in unions[parts[1]]]
            yield _found(files[name], masks=kept, dataset=parts[1], place="--".join(parts[2:]))


def _read_mapping(file: RawFile) -> dict[str, Any]:
    content = read_json(file)
    if not isinstance(content, dict):
        raise ValueError(f"{file}: expected a JSON mapping by name. Fetch the file again.")
    return content


def _union_classes(tree: RawTree) -> dict[str, set[int]]:
    unions: dict[str, set[int]] = defaultdict(set)
    for file in tree.select({".json"}):
        if file.stem == _CLASSES:
            for dataset, classes in _read_mapping(file).items():
                unions[dataset] |= {int(n) for name, n in classes.items() if name[:6] == "union_"}
    return unions


def _class_of(mask: str) -> int:
    """Return the class of `...--0001_000.png`, or -1 where the name has none."""
    word = mask.removesuffix(".png").rpartition("--")[2].partition("_")[0]
    return int(word) if word.isdigit() else -1


def _problem(listing: RawFile, *, name: str, missing: list[str]) -> InputError:
    if missing:
        message = (
            f"{listing}: names {missing[0]}, which does not exist. Unpack it, or leave it out."
        )
        return InputError("file missing", message)
    message = f"{listing}: {name}; expected MODALITY--DATASET--CASE--DIRECTION_SLICE.png. Mend it."
    return InputError("line that cannot be used", message)


def _found(image: RawFile, *, masks: list[RawFile], dataset: str, place: str) -> FoundImage:
    case = place.partition("--")[0]
    return FoundImage(
        name=f"{dataset}/{place}",
        files=(image, *masks),
        read=partial(
            read_masked_image,
            image,
            masks=tuple(MaskFile(category=dataset, file=file) for file in masks),
        ),
        subject=f"{dataset}/{case}",
        sequence=f"{dataset}/{case}",
    )


SA_MED2D_20M = PublishedSource(card=CARD, find=find_sa_med2d)
