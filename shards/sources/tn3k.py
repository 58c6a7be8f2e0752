"""TN3K: thyroid nodules with an official test part."""

from collections.abc import Iterable
from functools import partial

from shards.build_report import BuildReport, InputError
from shards.reading import FilePair, RawFile, RawTree, pair_files, read_json, with_one_mask

from .annotated_image import MaskFile, read_masked_image
from .published_source import FoundImage, PublishedSource
from .source_card import SourceCard

CARD = SourceCard(
    name="tn3k",
    title="TN3K",
    licence="unknown",
    terms="An MIT tag on a mirror by the authors was not confirmed.",
    citation="Gong et al., Thyroid region prior guided attention, Comput Biol Med 2023",
    home_page="https://github.com/haifangong/TRFE-Net-for-thyroid-nodule-segmentation",
    layout="TN3K.zip, or tn3k/ with trainval-image/, trainval-mask/, test-image/ and test-mask/",
    categories={"nodule": "thyroid_nodule"},
    subject_rule="none in the names, each image stands alone",
    official_split="test-* is test; train and val of tn3k-trainval-fold0.json where it is there",
    quirks=(
        "Masks are JPEG: grey values of 150 and above count.",
        "Part and number make the name.",
        "TN3K, TG3K and DDTI may share images: audit before use.",
    ),
    unverified=(
        "that numbers start again in the test part",
        "that the fold's numbers index the trainval names sorted by number",
    ),
)

_FOLD = "tn3k-trainval-fold0"


def find_tn3k(tree: RawTree, report: BuildReport) -> Iterable[FoundImage]:
    """Pair `trainval-image/0000.jpg` with `trainval-mask/0000.jpg`, and so the test part."""
    files = [file for file in tree.select({".jpg"}) if file.stem.isdigit()]
    pairs = pair_files(
        [file for file in files if file.folder in {"trainval-image", "test-image"}],
        masks=[file for file in files if file.folder in {"trainval-mask", "test-mask"}],
        image_key=_key_of,
        mask_key=_key_of,
        report=report,
    )
    return _with_splits(with_one_mask(pairs, report=report), tree=tree, report=report)


def _key_of(file: RawFile) -> str:
    return f"{file.folder.partition('-')[0]}/{file.stem}"


def _with_splits(
    pairs: list[FilePair], *, tree: RawTree, report: BuildReport
) -> Iterable[FoundImage]:
    trainval = sorted(
        (pair.key for pair in pairs if pair.key.startswith("trainval/")),
        key=lambda key: int(key.partition("/")[2]),
    )
    folds = [file for file in tree.select({".json"}) if file.stem == _FOLD]
    validation = _validation_of(folds[0], names=trainval, report=report) if folds else set()
    if not folds:
        report.note(f"tn3k: all of trainval is train, as {_FOLD}.json is missing")
    for pair in pairs:
        masks = tuple(MaskFile(category="nodule", file=file, at_least=150) for file in pair.masks)
        held_out = "validation" if pair.key in validation else "train"
        yield FoundImage(
            name=pair.key,
            files=(pair.image, *pair.masks),
            read=partial(read_masked_image, pair.image, masks=masks),
            split="test" if pair.key.startswith("test/") else held_out,
        )


def _validation_of(fold: RawFile, *, names: list[str], report: BuildReport) -> set[str]:
    """Return the names of the validation part; the lists must cover every name, once."""
    content = read_json(fold)
    parts = content if isinstance(content, dict) else {}
    places = parts.get("val") or []
    both = [*places, *(parts.get("train") or [])]
    if sorted(both, key=str) != sorted(range(len(names)), key=str):
        message = (
            f"{fold}: train and val have {len(both)} numbers; expected 0 to {len(names) - 1}, each "
            "once, as there are so many trainval pairs. Restore the images, or remove the list."
        )
        report.add(InputError("list that cannot be used", message), is_obstacle=True)
        return set()
    return {names[place] for place in places}


TN3K = PublishedSource(card=CARD, find=find_tn3k)
