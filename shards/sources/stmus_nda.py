"""STMUS_NDA: cross-sections of three muscles, healthy and ill."""

from collections.abc import Iterable
from functools import partial

from shards.build_report import BuildReport
from shards.reading import RawFile, RawTree, pair_files, with_one_mask

from .annotated_image import MaskFile, read_masked_image
from .published_source import FoundImage, PublishedSource
from .source_card import SourceCard

CARD = SourceCard(
    name="stmus_nda",
    title="STMUS_NDA (transverse musculoskeletal ultrasound, neuromuscular disease)",
    licence="CC-BY-4.0",
    terms="As other readers of the set state it; look it up at Mendeley Data.",
    citation="Marzola et al., Deep learning segmentation of transverse muscle ultrasound, 2021",
    home_page="https://data.mendeley.com/datasets/3jykz7wz8d",
    layout="STMUS_NDA.zip, or Polito-Radboud-DeepLearningUS/ with BB/, GM/ and TA/",
    categories={"BB": "muscle", "GM": "muscle", "TA": "muscle"},
    subject_rule="none that is known in the names, each image stands alone",
    official_split=(
        "not followed: train/, trainannot/ and their counterparts in Segmentation_models/ are "
        "copies, and nobody has seen how their names tell which image of which muscle they are, "
        "nor whether a subject is in one part alone"
    ),
    quirks=("Muscle, group and name make the key.",),
    exclusions=("Segmentation_models/: copies for training.",),
    unverified=(
        "names of the images: 3,917 of 1,283 subjects, who may be in them",
        "that names repeat over muscles and groups",
    ),
)

_MUSCLES = ("BB", "GM", "TA")


def find_stmus_nda(tree: RawTree, report: BuildReport) -> Iterable[FoundImage]:
    """Pair `BB/Healthy/Images/0001.png` with `BB/Healthy/Masks/0001.png`."""
    files = tree.select({".png"}, outside="Segmentation_models")
    pairs = pair_files(
        [file for file in files if file.folder == "Images"],
        masks=[file for file in files if file.folder == "Masks"],
        image_key=_key_of,
        mask_key=_key_of,
        report=report,
    )
    for pair in with_one_mask(pairs, report=report):
        muscle = pair.key.split("/")[0]
        masks = tuple(MaskFile(category=muscle, file=file, at_least=1) for file in pair.masks)
        yield FoundImage(
            name=pair.key,
            files=(pair.image, *pair.masks),
            read=partial(read_masked_image, pair.image, masks=masks),
        )


def _key_of(file: RawFile) -> str | None:
    folders = file.folders[:-1]
    places = [place for place, folder in enumerate(folders) if folder in _MUSCLES]
    return "/".join((*folders[places[-1] :], file.stem)) if places else None


STMUS_NDA = PublishedSource(card=CARD, find=find_stmus_nda)
