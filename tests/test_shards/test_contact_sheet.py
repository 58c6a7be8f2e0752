import io

import numpy as np
from rich.console import Console

from shards import (
    category_colours,
    draw_contact_sheet,
    draw_tables,
    open_corpus,
    outline,
    survey_corpus,
    write_corpus,
)
from shards.contact_sheet import draw_sample, pick_evenly
from tests.support.corpora import describe_source, make_sample, write_toy_corpus


def write_two_sources(folder):
    samples = [make_sample(n, source="small") for n in range(2)]
    samples += [make_sample(n, source="large") for n in range(20)]
    sources = [describe_source("small"), describe_source("large")]
    write_corpus(samples, str(folder), split="train", sources=sources, max_samples_per_shard=7)
    return open_corpus(str(folder))


def test_an_outline_is_the_border_of_a_mask():
    mask = np.zeros((6, 7), dtype=bool)
    mask[1:5, 1:6] = True
    expected = mask.copy()
    expected[2:4, 2:5] = False
    assert np.array_equal(outline(mask), expected)
    assert outline(np.ones((3, 3), dtype=bool)).sum() == 8


def test_every_source_gets_its_share_of_the_sheet(tmp_path):
    corpus = write_two_sources(tmp_path)
    picked = pick_evenly(corpus, num_samples=10)
    assert picked[:2] == [0, 1]
    assert len(picked) == 10
    assert picked[-1] == 21
    assert pick_evenly(corpus, num_samples=100) == list(range(22))


def test_a_drawn_sample_shows_its_outline_in_the_colour_of_its_category():
    sample = make_sample(0, rows=32, columns=32)
    colours = category_colours(("circle", "square"))
    picture = np.asarray(draw_sample(sample, colours=colours, tile_pixels=32))
    border = outline(sample.objects[0].mask())
    assert (picture[border] == colours["square"]).all()
    assert np.array_equal(picture[~border], np.stack([sample.image[~border]] * 3, axis=-1))


def test_a_sheet_has_a_place_for_every_picture(tmp_path):
    corpus = write_two_sources(tmp_path)
    sheet = draw_contact_sheet(corpus, num_pictures=9, num_columns=4, tile_pixels=40)
    assert sheet.size == (4 * 44 + 4, 3 * 58 + 18)


def test_the_survey_counts_what_the_samples_say(tmp_path):
    write_toy_corpus(str(tmp_path))
    survey = survey_corpus(open_corpus(str(tmp_path)), max_samples=100)
    assert survey.sizes["toy"] == [(24, 32)] * 6
    assert survey.area_shares["toy", "square"] == [64 / (24 * 32)] * 6


def test_the_tables_name_sources_licences_and_counts(tmp_path):
    corpus = write_two_sources(tmp_path)
    console = Console(record=True, width=100, file=io.StringIO())
    console.print(draw_tables(corpus, survey=survey_corpus(corpus, max_samples=4)))
    text = console.export_text()
    for expected in ("22 images, 22 objects, 4 shards", "small", "large", "CC0-1.0", "square"):
        assert expected in text
