"""What is known of a published dataset, in one place: terms, classes, rules, and what to doubt."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from shards.manifest import SourceDescription
from shards.vocabulary import VOCABULARY

NONE_PUBLISHED = "none published"


@dataclass(frozen=True, kw_only=True)
class SourceCard:
    """The facts that `docs/corpora.md`, the manifest and error messages are made from."""

    name: str
    """As in `SOURCES`; lower case, since it begins every key."""

    title: str
    version: str = "1"
    licence: str
    """SPDX identifier where there is one; `unknown` where the terms were not found."""

    terms: str
    """In words: what to sign, what is doubtful about the licence."""

    citation: str
    home_page: str
    layout: str
    """What `root` has to hold: files and folders, as they come out of the download."""

    categories: Mapping[str | int, str]
    """Class as the files have it (index, folder, colour name) -> category of the vocabulary."""

    organs: Mapping[str, str] = field(default_factory=dict)
    """Of categories that the vocabulary does not have; only own data declare such."""

    subject_rule: str
    """How images of one person are told; the text also goes into `corpus.json`."""

    sequence_rule: str = "single images"
    spacing_rule: str = NONE_PUBLISHED
    official_split: str = NONE_PUBLISHED
    quirks: tuple[str, ...] = ()
    """What is odd about the files, and what is made of it here."""

    exclusions: tuple[str, ...] = ()
    """What is left out, and why."""

    unverified: tuple[str, ...] = ()
    """What nobody has checked on the files; it is said again where something goes wrong."""

    def __post_init__(self) -> None:
        unknown = sorted(set(self.categories.values()) - VOCABULARY.keys() - self.organs.keys())
        assert not unknown, f"{self.name}: {unknown} are not in shards/vocabulary.py"

    @property
    def classes(self) -> tuple[int, ...]:
        """Return the class values of a source whose masks hold such."""
        return tuple(name for name in self.categories if isinstance(name, int))

    def organ_of(self, category: str) -> str:
        """Return what one of its categories belongs to."""
        return self.organs[category] if category in self.organs else VOCABULARY[category].organ

    def describe(self) -> SourceDescription:
        """Return the dataset as the manifest names it."""
        return SourceDescription(
            name=self.name,
            version=self.version,
            licence=self.licence,
            citation=self.citation,
            home_page=self.home_page,
            categories=tuple(sorted(set(self.categories.values()))),
        )

    def doubts(self) -> str:
        """Return what nobody has checked, as a sentence for messages; empty where nothing is."""
        if not self.unverified:
            return ""
        return (
            f"{self.name}: not everything about its layout was seen on the files: "
            f"{'; '.join(self.unverified)}. If yours differ, say so: shards/sources/ has one short "
            "file for each source."
        )
