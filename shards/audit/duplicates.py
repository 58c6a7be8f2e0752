"""Pictures that come twice: by their digest, and by what they show."""

import functools
import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from tqdm import tqdm

from shards.shard_reader import Corpus
from shards.worker_pool import worker_pool

from .candidate_pairs import CandidatePair, find_candidates
from .image_descriptors import make_thumbnail
from .image_survey import ImageSurvey
from .pair_confirmation import Confirmation, confirm_pair, map_from_matches

_PAIRS_PER_TASK = 64


@dataclass(frozen=True, kw_only=True)
class DuplicatePair:
    """Two pictures of a survey that show the same, the earlier one first."""

    first: int
    second: int
    is_exact: bool
    """Their pixels are the same; else they agree after one was laid onto the other."""

    is_mirrored: bool = False
    correlation: float = 1.0
    shared_share: float = 1.0
    """Of the area of one of them that the other shows as well."""


@dataclass(frozen=True, kw_only=True)
class _Question:
    """A candidate with all that is needed to read and align its two pictures."""

    pair: CandidatePair
    addresses: tuple[tuple[int, int], tuple[int, int]]
    """Corpus, and place in it, of both pictures."""

    descriptors: tuple[np.ndarray, np.ndarray]


def find_exact_duplicates(survey: ImageSurvey) -> list[DuplicatePair]:
    """Return pictures of the same pixels: each with the next one, so n of them make n - 1 pairs."""
    last: dict[bytes, int] = {}
    pairs = []
    for number, image in enumerate(survey.images):
        known = last.get(image.pixels_sha256)
        if known is not None:
            pairs.append(DuplicatePair(first=known, second=number, is_exact=True))
        last[image.pixels_sha256] = number
    return pairs


def find_near_duplicates(survey: ImageSurvey, *, num_workers: int) -> list[DuplicatePair]:
    """Return pictures of other pixels and other subjects that show the same.

    Each candidate's two samples are read once more, in `num_workers` processes (0: none).
    """
    questions = [
        _ask(survey, pair=pair)
        for pair in find_candidates(survey.descriptors)
        if survey.images[pair.first].pixels_sha256 != survey.images[pair.second].pixels_sha256
    ]
    answers = _confirm_all(questions, corpora=survey.corpora, num_workers=num_workers)
    progress = tqdm(answers, total=len(questions), desc="compare", unit="pair", disable=None)
    best: dict[tuple[int, int], DuplicatePair] = {}
    for question, answer in zip(questions, progress, strict=True):
        pair = question.pair
        known = best.get((pair.first, pair.second))
        if answer.is_duplicate and (known is None or known.correlation < answer.correlation):
            best[pair.first, pair.second] = DuplicatePair(
                first=pair.first,
                second=pair.second,
                is_exact=False,
                is_mirrored=pair.is_mirrored,
                correlation=answer.correlation,
                shared_share=answer.shared_share,
            )
    return [best[pair] for pair in sorted(best)]


def _ask(survey: ImageSurvey, *, pair: CandidatePair) -> _Question:
    images = [survey.images[number] for number in (pair.first, pair.second)]
    first, second = ((image.corpus, image.place) for image in images)
    matched = survey.descriptors.descriptors[pair.matches]
    return _Question(
        pair=pair, addresses=(first, second), descriptors=(matched[:, 0], matched[:, 1])
    )


def _confirm_all(
    questions: list[_Question], *, corpora: Sequence[Corpus], num_workers: int
) -> Iterator[Confirmation]:
    """Answer the questions in their order."""
    tasks = [
        questions[start : start + _PAIRS_PER_TASK]
        for start in range(0, len(questions), _PAIRS_PER_TASK)
    ]
    confirm = functools.partial(_confirm_some, tuple(corpora))
    if num_workers == 0:
        yield from itertools.chain.from_iterable(map(confirm, tasks))
        return
    with worker_pool(num_workers) as pool:
        yield from itertools.chain.from_iterable(pool.map(confirm, tasks))


def _confirm_some(
    corpora: tuple[Corpus, ...], questions: Sequence[_Question]
) -> list[Confirmation]:
    @functools.lru_cache(maxsize=2 * _PAIRS_PER_TASK)
    def thumbnail_at(corpus: int, place: int) -> np.ndarray:
        return make_thumbnail(corpora[corpus].read_flat(place).image)

    answers = []
    for question in questions:
        first, second = (thumbnail_at(*address) for address in question.addresses)
        one, other = question.descriptors
        if question.pair.is_mirrored:
            second = second[:, ::-1]
            other = other.copy()
            other["column"] = (second.shape[1] - 1) / max(second.shape) - other["column"]
        answers.append(confirm_pair(first, second, start=map_from_matches(one, other)))
    return answers
