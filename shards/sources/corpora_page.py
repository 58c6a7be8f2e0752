"""The page of all published datasets, made from their cards."""

from collections.abc import Iterable, Iterator

from shards.vocabulary import VOCABULARY

from .source_card import SourceCard

_HEAD = """# Published datasets

This page is made from the cards in `shards/sources/`; change a card, not the page, and then run
`python -m shards.sources docs/corpora.md`. To build one, give its name as `source`; the rest is in
[shards.md](shards.md):

    python launchers/build_shards.py source=NAME root=FOLDER_OR_ARCHIVE output=OUT

`root` is an archive as it was downloaded, a folder that holds it, or the folder it unpacks to. Zip
archives are read in place; tar, 7z, archives in archives and HDF5 in a zip are unpacked into a
private temporary folder (`TMPDIR`); rar archives are to be unpacked by hand. Refused are members
that point outside, links, and archives that would grow beyond 1 GiB and 200 times their own size.
NIfTI, MetaImage, HDF5, videos and 7z need `pip install -e '.[formats]'`.

An image whose mask is empty is a negative: it is built, without an object, also where published
converters leave such images out. Sources of which this would be wrong say so below.

What does not fit the layout is told with its file, and nothing is built; `max_skipped_samples`
bounds what may be left out. Nothing here downloads: the terms are yours to accept, and what this
page says of a licence is what was found, not advice. What is called unverified was taken from
descriptions and other people's code, not seen on the files.
"""


def corpora_page(cards: Iterable[SourceCard]) -> str:
    """Return the page in Markdown: a table, every source, and the vocabulary."""
    ordered = sorted(cards, key=lambda card: card.title.casefold())
    sections = (line for card in ordered for line in _section(card))
    return "\n".join([_HEAD, *_table(ordered), *sections, *_vocabulary(ordered)]) + "\n"


def _table(cards: list[SourceCard]) -> Iterator[str]:
    yield f"## The {len(cards)} sources\n"
    yield "| source | dataset | categories | licence |"
    yield "|---|---|---|---|"
    for card in cards:
        categories = ", ".join(card.describe().categories)
        yield f"| [`{card.name}`](#{card.name}) | {card.title} | {categories} | {card.licence} |"
    yield ""


def _section(card: SourceCard) -> Iterator[str]:
    yield f"## {card.name}\n"
    yield f"{card.title}, version {card.version}. {card.citation}. <{card.home_page}>\n"
    yield "| | |"
    yield "|---|---|"
    classes = ", ".join(f"{raw} is {name}" for raw, name in card.categories.items())
    facts = {
        "`root` holds": card.layout,
        "licence": f"{card.licence}. {card.terms}",
        "classes": classes,
        "subjects": card.subject_rule,
        "sequences": card.sequence_rule,
        "pixel spacing": card.spacing_rule,
        "official split": card.official_split,
    }
    for name, fact in facts.items():
        yield f"| {name} | {fact} |"
    yield ""
    for heading, points in (
        ("Read as", card.quirks),
        ("Left out", card.exclusions),
        ("Unverified", card.unverified),
    ):
        if points:
            yield f"{heading}:\n"
            yield from (f"- {point}" for point in points)
            yield ""


def _vocabulary(cards: list[SourceCard]) -> Iterator[str]:
    yield "## The vocabulary\n"
    yield "`shards/vocabulary.py`; a structure that two sources outline has one name in both.\n"
    yield "| category | of | is | sources |"
    yield "|---|---|---|---|"
    for name, category in sorted(VOCABULARY.items()):
        users = [f"`{card.name}`" for card in cards if name in card.categories.values()]
        yield f"| {name} | {category.organ} | {category.kind} | {', '.join(users)} |"
