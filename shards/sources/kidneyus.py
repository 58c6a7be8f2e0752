"""kidneyUS: kidneys by their capsule, and the three regions inside."""

from collections.abc import Iterable
from functools import partial

from shards.build_report import BuildReport, InputError
from shards.reading import FilePair, RawFile, RawTree, index_masks, pair_files

from .annotated_image import AnnotatedImage, check_sizes, open_image
from .published_source import FoundImage, PublishedSource
from .source_card import SourceCard

CARD = SourceCard(
    name="kidneyus",
    title="kidneyUS (Open Kidney Dataset)",
    licence="CC-BY-NC-SA-4.0",
    terms="Images after registration; the version of the licence was not checked.",
    citation="Singla et al., The open kidney ultrasound data set, 2023",
    home_page="https://github.com/rsingla92/kidneyUS",
    layout="a folder with the image archive (kidneyUS_images_*.zip) and labels/reviewed_masks_1/",
    categories={
        "capsule": "kidney",
        "regions 1": "kidney_central_echo_complex",
        "regions 2": "kidney_medulla",
        "regions 3": "kidney_cortex",
    },
    subject_rule="the number before the first underscore",
    quirks=(
        "Capsule and regions overlap: the regions lie in the capsule, and each is an object.",
        "Images whose masks are empty are negatives; the published converter leaves them out.",
        "Exact duplicates of images are known: audit before use.",
    ),
    exclusions=("The second annotator (reviewed_masks_2): an image has one reference here.",),
    unverified=("whether the leading number is the subject's", "values of the region masks"),
)

_ANNOTATOR = "reviewed_masks_1"


def find_kidneyus(tree: RawTree, report: BuildReport) -> Iterable[FoundImage]:
    """Pair images with the masks of one name in `capsule/` and, where there is one, `regions/`."""
    pairs = pair_files(
        [file for file in tree.select({".png"}) if not _is_label(file)],
        masks=[
            file
            for file in tree.select({".png"}, within=_ANNOTATOR)
            if file.folder in {"capsule", "regions"}
        ],
        image_key=lambda file: file.stem,
        mask_key=lambda file: file.stem,
        report=report,
    )
    return [_found(pair) for pair in pairs if _has_one_capsule(pair, report=report)]


def _has_one_capsule(pair: FilePair, *, report: BuildReport) -> bool:
    folders = sorted(mask.folder for mask in pair.masks)
    is_well = folders in (["capsule"], ["capsule", "regions"])
    if not is_well:
        message = (
            f"{pair.image}: its masks are in {folders}; expected one in capsule and at most one in "
            "regions. Restore the files, or remove the image."
        )
        report.add(InputError("file missing", message))
    return is_well


def _is_label(file: RawFile) -> bool:
    return any(one == "labels" or one.startswith("reviewed_") for one in file.folders)


def _found(pair: FilePair) -> FoundImage:
    return FoundImage(
        name=pair.key,
        files=(pair.image, *pair.masks),
        read=partial(read_kidney, pair.image, masks=pair.masks),
        subject=pair.key.split("_")[0],
    )


def read_kidney(image: RawFile, *, masks: tuple[RawFile, ...]) -> AnnotatedImage:
    """Read an image, its capsule (0 and 1 or 0 and 255) and its regions (1 to 3)."""
    picture = open_image(image)
    found = []
    for file in masks:
        is_capsule = file.folder == "capsule"
        by_value = index_masks(file, classes=(1, 255) if is_capsule else (1, 2, 3))
        check_sizes(picture.pixels, masks=by_value, where=str(file))
        found += [
            ("capsule" if is_capsule else f"regions {value}", mask)
            for value, mask in by_value.items()
        ]
    return AnnotatedImage(image=picture, masks=tuple(found))


KIDNEYUS = PublishedSource(card=CARD, find=find_kidneyus)
