"""Cards, the vocabulary, and the page that is made from them."""

from pathlib import Path

from shards.sources import CARDS
from shards.sources.corpora_page import corpora_page
from shards.vocabulary import VOCABULARY

REPOSITORY = Path(__file__).parents[2]


def test_the_page_says_what_the_cards_say():
    page = (REPOSITORY / "docs" / "corpora.md").read_text()
    assert page == corpora_page(CARDS.values()), (
        "A card changed. Write the page anew: python -m shards.sources docs/corpora.md"
    )


def test_a_source_is_registered_under_the_name_on_its_card():
    assert [card.name for card in CARDS.values()] == list(CARDS)


def test_every_card_has_facts_enough_to_cite_and_to_find_the_data():
    for card in CARDS.values():
        assert card.home_page.startswith("https://")
        assert all((card.title, card.licence, card.terms, card.citation, card.subject_rule))
        assert card.name == card.name.lower()


def test_a_licence_without_identifier_is_unknown_or_a_reference():
    for card in CARDS.values():
        assert card.licence == "unknown" or card.licence.startswith(("CC", "LicenseRef-", "Apache"))


def test_every_category_of_the_vocabulary_is_used():
    used = {name for card in CARDS.values() for name in card.categories.values()}
    elsewhere = {"nerve", "vessel", "phantom_bone", "phantom_cyst", "phantom_nodule"}
    assert set(VOCABULARY) - used <= elsewhere
