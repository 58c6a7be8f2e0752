"""The page that shows what an audit found: one file, no script, nothing to download."""

import base64
import html
import io
from collections.abc import Sequence

from PIL import Image

from shards.contact_sheet import category_colours, draw_sample

from .annotation_outliers import Outlier, count_at_border
from .duplicates import DuplicatePair
from .image_survey import ImageSurvey
from .leaks import Leak

TILE_PIXELS = 200

_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 75rem; padding: 0 1rem;
       color: #1c2330; background: #f7f8fa; }
h1, h2 { line-height: 1.2; }
table { border-collapse: collapse; background: #fff; }
td, th { border: 1px solid #d5dae2; padding: .3rem .7rem; text-align: left; }
td.number { text-align: right; }
.verdict { padding: .7rem 1rem; border-radius: .4rem; font-weight: 600; }
.blessed { background: #dcf2e3; } .refused { background: #fbdfdc; }
.cards { display: flex; flex-wrap: wrap; gap: 1rem; }
figure { margin: 0; background: #fff; border: 1px solid #d5dae2; padding: .5rem; }
figcaption { font-size: 12px; overflow-wrap: anywhere; max-width: 410px; }
img { vertical-align: top; background: #000; }
@media (prefers-color-scheme: dark) {
  body { color: #e6e9ef; background: #14181f; } figure, table { background: #1e242e; }
  .blessed { background: #1d4a2d; } .refused { background: #5b231d; }
}
"""


def draw_page(
    survey: ImageSurvey,
    *,
    counts: dict[str, int],
    pairs: Sequence[DuplicatePair],
    leaks: Sequence[Leak],
    outliers: Sequence[Outlier],
    licence_conflicts: Sequence[str],
    max_pictures: int,
) -> str:
    """Return the page; only its pictures are read again, at most `max_pictures` cards a section."""
    pictures = _Pictures(survey)
    leaked = {(leak.first, leak.second) for leak in leaks}
    harmless = [pair for pair in pairs if (pair.first, pair.second) not in leaked]
    explained = {(pair.first, pair.second): _agreement(pair) for pair in pairs}
    leak_cards = [
        pictures.card(
            (leak.first, leak.second),
            caption=f"{leak.kind}. {leak.what or explained[leak.first, leak.second]}",
        )
        for leak in leaks[:max_pictures]
    ]
    pair_cards = [
        pictures.card((pair.first, pair.second), caption=_agreement(pair))
        for pair in harmless[:max_pictures]
    ]
    outlier_cards = [
        pictures.card((one.image,), caption=f"{one.category}: {one.kind}, {one.what}")
        for one in outliers[:max_pictures]
    ]
    sections = [
        _verdict(num_leaks=len(leaks)),
        _counts_table(counts),
        _corpora_table(survey),
        _section("Leaks between splits", leak_cards, num_found=len(leaks)),
        _section("Duplicates within a split", pair_cards, num_found=len(harmless)),
        _section("Odd annotations", outlier_cards, num_found=len(outliers)),
        _border_table(survey),
        "<h2>Licence conflicts</h2>" + _list(licence_conflicts),
    ]
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"><title>Audit of corpora'
        f"</title><style>{_STYLE}</style></head><body><h1>Audit of corpora</h1>\n"
        + "\n".join(sections)
        + "</body></html>\n"
    )


class _Pictures:
    """Draws the samples of a survey as cards."""

    def __init__(self, survey: ImageSurvey) -> None:
        self._survey = survey
        categories = {name for corpus in survey.corpora for name in corpus.manifest.categories}
        self._colours = category_colours(tuple(sorted(categories)))

    def card(self, numbers: tuple[int, ...], *, caption: str) -> str:
        """Return a figure of samples side by side, with their keys and a caption."""
        tiles = "".join(self._tile(number) for number in numbers)
        images = [self._survey.images[number] for number in numbers]
        names = "<br>".join(html.escape(f"{one.split}: {one.key}") for one in images)
        return f"<figure>{tiles}<figcaption>{names}<br>{html.escape(caption)}</figcaption></figure>"

    def _tile(self, number: int) -> str:
        image = self._survey.images[number]
        sample = self._survey.corpora[image.corpus].read_flat(image.place)
        tile = draw_sample(sample, colours=self._colours, tile_pixels=TILE_PIXELS)
        return f'<img src="{_data_uri(tile)}" alt="{html.escape(image.key)}">\n'


def _agreement(pair: DuplicatePair) -> str:
    if pair.is_exact:
        return "the same pixels"
    mirrored = ", mirrored" if pair.is_mirrored else ""
    share = f"{100 * pair.shared_share:.0f} % of one shown by the other"
    return f"correlation {pair.correlation:.2f}, {share}{mirrored}"


def _verdict(*, num_leaks: int) -> str:
    if num_leaks:
        words = f"Not blessed: {num_leaks} leaks between splits."
        return f'<p class="verdict refused">{words}</p>'
    return '<p class="verdict blessed">Blessed: no leak between splits was found.</p>'


def _counts_table(counts: dict[str, int]) -> str:
    rows = "".join(
        f'<tr><td>{html.escape(what)}</td><td class="number">{count:,}</td></tr>'
        for what, count in counts.items()
    )
    return f"<table>{rows}</table>"


def _corpora_table(survey: ImageSurvey) -> str:
    rows = "".join(
        f"<tr><td>{html.escape(corpus.url)}</td><td>{html.escape(corpus.manifest.split)}</td>"
        f"<td>{html.escape(source.name)}</td><td>{html.escape(source.licence)}</td>"
        f'<td class="number">{source.num_samples:,}</td></tr>'
        for corpus in survey.corpora
        for source in corpus.manifest.sources
    )
    head = "<tr><th>corpus</th><th>split</th><th>source</th><th>licence</th><th>images</th></tr>"
    return f"<h2>Corpora</h2><table>{head}{rows}</table>"


def _border_table(survey: ImageSurvey) -> str:
    counts = count_at_border(survey.objects, sources=survey.sources)
    title = f"<h2>Masks that touch the border: {sum(one.num_at_border for one in counts):,}</h2>"
    if not counts:
        return title
    rows = "".join(
        f"<tr><td>{html.escape(one.source)}</td><td>{html.escape(one.category)}</td>"
        f'<td class="number">{one.num_at_border:,}</td>'
        f'<td class="number">{one.num_objects:,}</td></tr>'
        for one in counts
    )
    head = "<tr><th>source</th><th>category</th><th>touch it</th><th>of masks</th></tr>"
    return f"{title}<table>{head}{rows}</table>"


def _section(title: str, cards: Sequence[str], *, num_found: int) -> str:
    shown = f", {len(cards)} of them shown" if num_found > len(cards) else ""
    return f'<h2>{title}: {num_found:,}{shown}</h2><div class="cards">{"".join(cards)}</div>'


def _list(lines: Sequence[str]) -> str:
    if not lines:
        return "<p>None.</p>"
    return "<ul>" + "".join(f"<li>{html.escape(line)}</li>" for line in lines) + "</ul>"


def _data_uri(tile: Image.Image) -> str:
    content = io.BytesIO()
    tile.save(content, format="JPEG", quality=80)
    return "data:image/jpeg;base64," + base64.b64encode(content.getvalue()).decode("ascii")
