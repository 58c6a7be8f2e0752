"""What is known of the datasets that come in the US30K layout: classes, terms, subjects."""

import difflib
import re
from dataclasses import dataclass

from shards.build_report import BuildReport
from shards.manifest import SourceDescription
from shards.sample import key_word

UNKNOWN = "unknown"

ALIASES = {"ThyroidGland-TG3K": "ThyroidNodule-TG3K", "ThyroidNodule-TG3K": "ThyroidGland-TG3K"}
"""The published example calls one dataset by two names: in lists and class.json."""


@dataclass(frozen=True, kw_only=True)
class Dataset:
    """Facts about one dataset, which the layout itself does not carry."""

    categories: tuple[str, ...]
    """Category of class 1, 2 and so on."""

    organs: tuple[str, ...]
    licence: str
    citation: str
    home_page: str
    subject_pattern: str | None = None
    """Matches a file's stem; its groups are subject, and where it has them sequence and frame."""

    subject_words: str = "none in the names, each image stands alone"


_ECHO_PATTERN = r"(?P<sequence>(?P<subject>[^_]+)_[^_]+)_(?P<frame>\d+)"
_ECHO_WORDS = "text before the first underscore; view and frame follow it"
_TN3K_CITATION = "Gong et al., Thyroid region prior guided attention, Comput Biol Med 2023"

DATASETS: dict[str, Dataset] = {
    "busi": Dataset(
        categories=("breast_nodule",),
        organs=("breast",),
        licence=UNKNOWN,
        citation="Al-Dhabyani et al., Dataset of breast ultrasound images, Data in Brief 2020",
        home_page="https://doi.org/10.1016/j.dib.2019.104863",
    ),
    "udiat": Dataset(
        categories=("breast_nodule",),
        organs=("breast",),
        licence="LicenseRef-on-request",
        citation="Yap et al., Automated breast ultrasound lesions detection, IEEE JBHI 2018",
        home_page="https://doi.org/10.1109/JBHI.2017.2731873",
    ),
    "camus": Dataset(
        categories=("left_ventricle_endocardium", "myocardium", "left_atrium"),
        organs=("heart", "heart", "heart"),
        licence="CC-BY-NC-SA-4.0",
        citation="Leclerc et al., Deep learning for segmentation using CAMUS, IEEE TMI 2019",
        home_page="https://humanheart-project.creatis.insa-lyon.fr",
        subject_pattern=_ECHO_PATTERN,
        subject_words=_ECHO_WORDS,
    ),
    "hmcqu": Dataset(
        categories=("myocardium",),
        organs=("heart",),
        licence=UNKNOWN,
        citation="Degerli et al., Early detection of myocardial infarction, IEEE Access 2021",
        home_page="https://www.kaggle.com/datasets/aysendegerli/hmcqu-dataset",
        subject_pattern=_ECHO_PATTERN,
        subject_words=_ECHO_WORDS,
    ),
    "tn3k": Dataset(
        categories=("thyroid_nodule",),
        organs=("thyroid",),
        licence=UNKNOWN,
        citation=_TN3K_CITATION,
        home_page="https://github.com/haifangong/TRFE-Net-for-thyroid-nodule-segmentation",
    ),
    "tg3k": Dataset(
        categories=("thyroid_gland",),
        organs=("thyroid",),
        licence=UNKNOWN,
        citation=_TN3K_CITATION,
        home_page="https://github.com/haifangong/TRFE-Net-for-thyroid-nodule-segmentation",
    ),
    "ddti": Dataset(
        categories=("thyroid_nodule",),
        organs=("thyroid",),
        licence=UNKNOWN,
        citation="Pedraza et al., An open access thyroid ultrasound image database, SIPAIM 2015",
        home_page="https://doi.org/10.1117/12.2073532",
    ),
    "hc18": Dataset(
        categories=("fetal_head",),
        organs=("fetus",),
        licence="CC-BY-4.0",
        citation="van den Heuvel et al., Automated measurement of fetal head circumference, 2018",
        home_page="https://doi.org/10.5281/zenodo.1327317",
        subject_pattern=r"(?P<subject>[^_]+)_.+",
        subject_words="text before the first underscore",
    ),
    "usgra": Dataset(
        categories=("nerve", "vessel"),
        organs=("nerve", "vessel"),
        licence="CC-BY-4.0",
        citation="tmkand, usgra-seg: ultrasound-guided regional anaesthesia",
        home_page="https://github.com/tmkand/usgra-seg",
    ),
}
"""What follows the first dash of a name, as letters and digits in lower case, to its facts."""


def find_dataset(name: str, *, num_classes: int, report: BuildReport) -> Dataset:
    """Return what is known of `NAME`, or names made from it where nothing is, which is noted.

    A dataset with more or fewer classes than the table knows is not the one in the table.

    Args:
        name: As `Echocardiography-CAMUS`: anatomy, dash, dataset.
        num_classes: Without the background.
        report: Gets the note.
    """
    anatomy, dash, word = name.partition("-")
    word = re.sub(r"[^a-z0-9]", "", (word if dash else name).lower())
    dataset = DATASETS.get(word)
    if dataset is not None and num_classes == len(dataset.categories):
        return dataset
    doubt = ""
    if dataset is not None:
        doubt = f" ({word} has {len(dataset.categories)} classes there, not {num_classes})"
    elif close := difflib.get_close_matches(word, DATASETS, n=1):
        doubt = f" (did you mean {close[0]}?)"
    report.note(
        f"datasets that are not in the table: {name}{doubt}; its licence is {UNKNOWN}, and its "
        "categories are numbered"
    )
    return Dataset(
        categories=tuple(f"{key_word(anatomy)}_{index}" for index in range(1, num_classes + 1)),
        organs=(key_word(anatomy),) * num_classes,
        licence=UNKNOWN,
        citation=UNKNOWN,
        home_page="",
    )


def describe_dataset(name: str, *, dataset: Dataset) -> SourceDescription:
    """Return the dataset as the manifest names it."""
    return SourceDescription(
        name=key_word(name),
        version="us30k",
        licence=dataset.licence,
        citation=dataset.citation,
        home_page=dataset.home_page,
        categories=dataset.categories,
    )
