"""MMOTU, 2-D part: ovaries and their tumours; the class is in the lists, not in the masks."""

from collections.abc import Iterable
from functools import partial

from shards.build_report import BuildReport, InputError
from shards.reading import FilePair, RawFile, RawTree, pair_files, read_lines, with_one_mask

from .annotated_image import MaskFile, read_masked_image
from .published_source import FoundImage, PublishedSource
from .source_card import SourceCard

CARD = SourceCard(
    name="mmotu_2d",
    title="MMOTU, OTU_2d",
    licence="unknown",
    terms="None stated where it was looked for.",
    citation="Zhao et al., A multi-modality ovarian tumor ultrasound image dataset, 2022",
    home_page="https://github.com/cv516Buaa/MMOTU_DS2Net",
    layout="MMOTU_2d.zip, or OTU_2d/ with images, annotations/, train_cls.txt and val_cls.txt",
    categories={
        0: "ovarian_chocolate_cyst",
        1: "ovarian_serous_cystadenoma",
        2: "ovarian_teratoma",
        3: "ovarian_theca_cell_tumour",
        4: "ovarian_simple_cyst",
        5: "normal_ovary",
        6: "ovarian_mucinous_cystadenoma",
        7: "ovarian_high_grade_serous_cystadenocarcinoma",
    },
    subject_rule="none in the names, each image stands alone",
    official_split="train_cls.txt is train, val_cls.txt is test, as the authors report it",
    quirks=("One class per image, from the lists; every pixel of a mask that is not 0 has it.",),
    exclusions=("Files with an underscore in their name: other drawings of the same masks.",),
    unverified=("name of the image folder", "how many images a patient has"),
)

_LISTS = {"train_cls": "train", "val_cls": "test"}


def find_mmotu_2d(tree: RawTree, report: BuildReport) -> Iterable[FoundImage]:
    """Pair `images/1.JPG` with `annotations/1.PNG`, and take class and split from the lists."""
    classes = _read_lists(tree, report=report)
    found = []
    for pair in pair_tumours(tree, outside="OTU_3d", report=report):
        if pair.key in classes:
            found.append(_found(pair, label=classes[pair.key][0], split=classes[pair.key][1]))
        else:
            message = (
                f"{pair.image}: neither train_cls.txt nor val_cls.txt names it, so its class is "
                "not known. Restore the lists, or remove the image."
            )
            report.add(InputError("image in no list", message))
    return found


def pair_tumours(tree: RawTree, *, outside: str, report: BuildReport) -> list[FilePair]:
    """Pair the images of one part of MMOTU with their masks; `outside` is the other part."""
    images = tree.select({".jpg", ".jpeg"}, outside=outside)
    masks = tree.select({".png"}, within="annotations")
    pairs = pair_files(
        [file for file in images if "annotations" not in file.folders and "_" not in file.stem],
        masks=[file for file in masks if outside not in file.folders and "_" not in file.stem],
        image_key=lambda file: file.stem,
        mask_key=lambda file: file.stem,
        report=report,
    )
    return with_one_mask(pairs, report=report)


def _read_lists(tree: RawTree, *, report: BuildReport) -> dict[str, tuple[int, str]]:
    classes: dict[str, tuple[int, str]] = {}
    for file in tree.select({".txt"}, outside="OTU_3d"):
        for line in read_lines(file) if file.stem in _LISTS else ():
            name, _, label = line.rpartition(" ")
            stem = name.strip().rpartition(".")[0]
            if not stem or not label.isdigit() or stem in classes:
                report.add(_bad_line(file, line=line))
                continue
            classes[stem] = (int(label), _LISTS[file.stem])
    return classes


def _bad_line(file: RawFile, *, line: str) -> InputError:
    return InputError(
        "line that cannot be used",
        f"{file}: {line!r}; expected 'NAME.JPG LABEL', each image once in both lists. Mend it.",
    )


def _found(pair: FilePair, *, label: int, split: str) -> FoundImage:
    masks = tuple(MaskFile(category=label, file=file, at_least=1) for file in pair.masks)
    return FoundImage(
        name=pair.key,
        files=(pair.image, *pair.masks),
        read=partial(read_masked_image, pair.image, masks=masks),
        split=split,
        facts=(label,),
    )


MMOTU_2D = PublishedSource(card=CARD, find=find_mmotu_2d)
