"""Patterns that pair images with masks, guessed from the names in a folder."""

import re
from collections import Counter, defaultdict
from collections.abc import Collection, Iterator
from dataclasses import dataclass

from .reading import PathPattern, RawFile, RawTree, local_path

_MASK_FOLDER = re.compile(
    r"mask|label|annot|segm|ground|(?<![a-z])(seg|gt)(?![a-z])", re.IGNORECASE
)
_MASK_AFFIX = re.compile(
    r"[ _.-]*(mask|label|annotation|segmentation|seg|gt)s?[ _-]*\d*$", re.IGNORECASE
)
_IMAGE_AFFIXES = ("", "_image", "_img", "_us", "_0000")
_WORDS = ("part", "group", "block", "section")
_MAX_STEMS = 50
"""Masks that are tried; the others follow the same rule, or the guess is no good."""

_MAX_CANDIDATES = 6

Path = tuple[str, ...]
"""Folders, and the name without its extension."""

Stems = set[tuple[Path, str]]
"""Folders above the one that tells images from masks, and the rest of the path below it."""


@dataclass(frozen=True, kw_only=True)
class PatternGuess:
    """Two patterns, and how many images have a mask by them."""

    images: str
    masks: str
    num_pairs: int


def guess_patterns(files: Collection[RawFile], *, tree: RawTree) -> PatternGuess | None:
    """Return the patterns that pair most images; None where nothing looks like a mask."""
    paths = [_path_of(file, tree=tree) for file in files]
    candidates = Counter([*_beside(paths), *_in_folders(paths)])
    guesses = [
        PatternGuess(
            images=images,
            masks=masks,
            num_pairs=_count_pairs(files, images=images, masks=masks, tree=tree),
        )
        for (images, masks), _ in candidates.most_common(_MAX_CANDIDATES)
    ]
    best = max(guesses, key=lambda one: one.num_pairs, default=None)
    return best if best is not None and best.num_pairs else None


def _path_of(file: RawFile, *, tree: RawTree) -> Path:
    path = local_path(file, tree=tree)
    return tuple(path[: len(path) - len(file.suffix)].split("/"))


def _count_pairs(files: Collection[RawFile], *, images: str, masks: str, tree: RawTree) -> int:
    of_images = PathPattern(images, option="images")
    of_masks = PathPattern(masks, option="masks")
    image_keys, mask_keys = set(), set()
    for file in files:
        words, keys = of_masks.match(file, tree=tree), mask_keys
        if words is None:
            words, keys = of_images.match(file, tree=tree), image_keys
        if words is not None:
            keys.add(tuple(words[word] for word in of_images.words))
    return len(image_keys & mask_keys)


def _beside(paths: Collection[Path]) -> Iterator[tuple[str, str]]:
    """Yield patterns of masks that lie beside their images and have a longer name."""
    masks = {((), "/".join(path)) for path in paths if _MASK_AFFIX.search(path[-1])}
    images = {((), "/".join(path)) for path in paths if not _MASK_AFFIX.search(path[-1])}
    for image_affix, _, mask_affix in _affixes(images, masks=masks):
        yield f"./{{name}}{image_affix}.*", f"./{{name}}{mask_affix}.*"


def _in_folders(paths: Collection[Path]) -> Iterator[tuple[str, str]]:
    """Yield patterns of masks that lie in another folder than their images."""
    masks: dict[tuple[int, str], Stems] = defaultdict(set)
    images: dict[tuple[int, str], Stems] = defaultdict(set)
    for path in paths:
        places = [place for place, name in enumerate(path[:-1]) if _MASK_FOLDER.search(name)]
        if places:
            place = places[-1]
            masks[place, path[place]].add((path[:place], "/".join(path[place + 1 :])))
            continue
        for place, name in enumerate(path):
            is_folder = place < len(path) - 1
            images[place, ""].add((path[:place], "/".join(path[place:])))
            if is_folder:
                images[place, name].add((path[:place], "/".join(path[place + 1 :])))
    for (depth, mask_folder), mask_stems in masks.items():
        before = _before({above for above, _ in mask_stems})
        for (place, image_folder), image_stems in images.items():
            if place != depth:
                continue
            inner = f"{image_folder}/" if image_folder else ""
            for image_affix, lead, mask_affix in _affixes(image_stems, masks=mask_stems):
                yield (
                    f"./{before}{inner}{{name}}{image_affix}.*",
                    f"./{before}{mask_folder}/{lead}{{name}}{mask_affix}.*",
                )


def _before(above: set[Path]) -> str:
    """Return the folders above as a pattern: a word in braces where they differ."""
    words = iter(_WORDS)
    names = []
    for of_level in zip(*above, strict=True):
        several = len(set(of_level)) > 1
        names.append(f"{{{next(words, 'more')}}}/" if several else f"{of_level[0]}/")
    return "".join(names)


def _affixes(images: Stems, *, masks: Stems) -> Iterator[tuple[str, str, str]]:
    """Yield what to add to a name for an image, before it and after it for a mask."""
    for above, stem in sorted(masks)[:_MAX_STEMS]:
        for lead in ("", "{category}/"):
            rest = stem.partition("/")[2] if lead else stem
            core = _MASK_AFFIX.sub("", rest)
            for base in dict.fromkeys((rest, core)):
                for affix in _IMAGE_AFFIXES:
                    if base and (above, f"{base}{affix}") in images:
                        yield affix, lead, re.sub(r"\d+", "*", rest[len(base) :])
