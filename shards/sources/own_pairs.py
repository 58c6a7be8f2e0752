"""Images and masks of own data, paired by the patterns of their paths."""

from collections.abc import Callable, Collection, Iterable

from shards.build_report import BuildReport, InputError
from shards.reading import FilePair, PathPattern, RawFile, RawTree, Unpaired, local_path, pair_files

from .published_source import FoundImage


def pair_by_pattern(
    files: Collection[RawFile],
    *,
    images: PathPattern,
    masks: PathPattern,
    tree: RawTree,
    without_mask: Unpaired,
    report: BuildReport,
) -> list[FilePair]:
    """Pair files whose paths give the same words; what fits the pattern of masks is no image.

    Raises:
        ValueError: A pattern lacks a word, or fits no file.
    """
    _check_words(images, masks=masks)
    found_masks = {file: words for file in files if (words := masks.match(file, tree=tree))}
    found_images = {
        file: words
        for file in files
        if file not in found_masks and (words := images.match(file, tree=tree))
    }
    for pattern, found in ((images, found_images), (masks, found_masks)):
        if files and not found:
            shown = ", ".join(local_path(file, tree=tree) for file in list(files)[:3])
            raise ValueError(
                f"{pattern}: fits none of the {len(files)} files, as {shown}. Mend the pattern; "
                "launchers/validate_source.py looks at a folder and proposes one."
            )
    num_left = len(files) - len(found_images) - len(found_masks)
    if num_left:
        report.note("files that fit neither pattern", count=num_left)
    return pair_files(
        found_images,
        masks=found_masks,
        image_key=lambda file: _join(found_images[file], words=images.words),
        mask_key=lambda file: _join(found_masks[file], words=images.words),
        report=report,
        without_mask=without_mask,
    )


def each_pair(
    pairs: Iterable[FilePair],
    *,
    report: BuildReport,
    find: Callable[[FilePair], Iterable[FoundImage]],
) -> Iterable[FoundImage]:
    """Yield the images of every pair; a pair that cannot be used goes into the report."""
    for pair in pairs:
        try:
            yield from find(pair)
        except InputError as problem:
            report.add(problem)
        except ValueError as error:
            report.add(InputError("unreadable or unsupported file", str(error)))


def _check_words(images: PathPattern, *, masks: PathPattern) -> None:
    if "name" not in images.words:
        raise ValueError(f"{images}: has no {{name}}, which pairs images with masks. Add it.")
    optional = {"category", "frame"}
    strange = set(masks.words) ^ set(images.words)
    if strange - optional or optional & set(images.words):
        raise ValueError(
            f"{images} and {masks}: do not have the same words in braces; only masks may have "
            "{category} or {frame} besides. Put * where a word does not matter."
        )


def _join(captured: dict[str, str], *, words: tuple[str, ...]) -> str:
    return "/".join(captured[word] for word in words)
