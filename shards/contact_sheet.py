"""A sheet of small pictures of a corpus, with the outlines of what is annotated in them."""

import colorsys
import math

import numpy as np
from PIL import Image, ImageDraw

from .sample import UltrasoundSample
from .shard_reader import Corpus

CAPTION_PIXELS = 14
LEGEND_PIXELS = 18
MARGIN_PIXELS = 4


def pick_evenly(corpus: Corpus, *, num_samples: int) -> list[int]:
    """Return flat indices that share `num_samples` among the sources, evenly over each.

    A source with fewer samples than its share leaves the rest to the others.
    """
    places: dict[str, list[int]] = {}
    start = 0
    for shard, entry in zip(corpus.samples_per_shard, corpus.manifest.shards, strict=True):
        places.setdefault(entry.source, []).extend(range(start, start + shard))
        start += shard
    picked: list[int] = []
    by_size = sorted(places.values(), key=len)
    for number, indices in enumerate(by_size):
        share = (num_samples - len(picked)) // (len(by_size) - number)
        chosen = np.linspace(0, len(indices) - 1, min(share, len(indices))).round().astype(int)
        picked += [indices[place] for place in chosen]
    return sorted(picked)


def draw_contact_sheet(
    corpus: Corpus, *, num_pictures: int = 40, num_columns: int = 8, tile_pixels: int = 192
) -> Image.Image:
    """Draw samples of every source, each object outlined in its category's colour."""
    indices = pick_evenly(corpus, num_samples=num_pictures)
    colours = category_colours(corpus.manifest.categories)
    num_rows = max(math.ceil(len(indices) / num_columns), 1)
    pitch = tile_pixels + MARGIN_PIXELS
    row_pitch = pitch + CAPTION_PIXELS
    legend_height = LEGEND_PIXELS * math.ceil(max(len(colours), 1) / num_columns)
    size = (num_columns * pitch + MARGIN_PIXELS, num_rows * row_pitch + legend_height)
    sheet = Image.new("RGB", size, (24, 24, 24))
    pen = ImageDraw.Draw(sheet)
    for place, index in enumerate(indices):
        row, column = divmod(place, num_columns)
        corner = (column * pitch + MARGIN_PIXELS, row * row_pitch + MARGIN_PIXELS)
        sample = corpus.read_flat(index)
        sheet.paste(draw_sample(sample, colours=colours, tile_pixels=tile_pixels), corner)
        caption = sample.key[-(tile_pixels // 6) :]
        pen.text((corner[0], corner[1] + tile_pixels), caption, fill=(200, 200, 200))
    for place, (category, colour) in enumerate(colours.items()):
        row, column = divmod(place, num_columns)
        corner = (column * pitch + MARGIN_PIXELS, num_rows * row_pitch + row * LEGEND_PIXELS)
        pen.text(corner, category, fill=colour)
    return sheet


def draw_sample(
    sample: UltrasoundSample, *, colours: dict[str, tuple[int, int, int]], tile_pixels: int
) -> Image.Image:
    """Draw one sample into a square of `tile_pixels`, its proportions kept."""
    rows, columns = sample.size
    scale = tile_pixels / max(rows, columns)
    size = (max(round(columns * scale), 1), max(round(rows * scale), 1))
    shrunk = Image.fromarray(sample.image).convert("RGB").resize(size, Image.Resampling.BILINEAR)
    picture = np.array(shrunk)
    for thing in sample.objects:
        mask = Image.fromarray(thing.mask()).resize(size, Image.Resampling.NEAREST)
        picture[outline(np.asarray(mask))] = colours[thing.category]
    tile = Image.new("RGB", (tile_pixels, tile_pixels))
    tile.paste(Image.fromarray(picture), (0, 0))
    return tile


def outline(mask: np.ndarray) -> np.ndarray:
    """Return the pixels of a bool mask (row column) that touch the background or the border."""
    framed = np.pad(mask, 1)
    inner = framed[:-2, 1:-1] & framed[2:, 1:-1] & framed[1:-1, :-2] & framed[1:-1, 2:]
    return mask & ~inner


def category_colours(categories: tuple[str, ...]) -> dict[str, tuple[int, int, int]]:
    """Return a bright colour for each category, hues spread evenly."""
    colours = {}
    for place, category in enumerate(categories):
        red, green, blue = colorsys.hsv_to_rgb(place / max(len(categories), 1), 0.85, 1.0)
        colours[category] = (round(255 * red), round(255 * green), round(255 * blue))
    return colours
