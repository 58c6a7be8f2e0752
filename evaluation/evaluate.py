"""Ask a model about every object of a corpus, and score the answers.

Batches are cut from the corpus's own order and dealt to the ranks whole, so that the numbers do not
depend, bit for bit, on how many ranks there are. Nothing here is collective: each rank returns its
rows, and the caller joins them with `gather_records`.
"""

import math
from collections.abc import Callable, Iterator, Sequence

from tqdm import tqdm

from shards import Corpus

from .answers import ask
from .predictor import Predictor
from .questions import DEFAULT_OPTIONS, EvaluationOptions, plan_questions
from .records import EvaluationRecord
from .scoring import score_answer
from .training_tiers import NO_TIERS, CorpusTiers


def evaluate_corpus(  # noqa: PLR0913 -- who asks whom about what; the rest is in `options`
    predictor: Predictor,
    corpus: Corpus,
    *,
    protocol: str | Sequence[str],
    model_name: str,
    rank: int = 0,
    num_ranks: int = 1,
    progress: bool = True,
    before_batch: Callable[[], None] = lambda: None,
    options: EvaluationOptions = DEFAULT_OPTIONS,
    tiers: CorpusTiers = NO_TIERS,
) -> list[EvaluationRecord]:
    """Return the records of this rank's share of the corpus: of each object, or of each category.

    Args:
        predictor: The model.
        corpus: Images with references; every image is decoded once for all protocols.
        protocol: One or several: keys of `PROTOCOLS` or `MORE_PROTOCOLS`.
        model_name: Name under which the rows are compared with others.
        rank: Which share of the batches is measured here.
        num_ranks: How many shares there are.
        progress: Show a progress bar where the error stream is a terminal.
        before_batch: Called before each batch, equally often on every rank, so that it may be
            collective. What it raises ends the evaluation.
        options: Batch size, seed, choice of categories, tolerances.
        tiers: How near the images are to what the model was trained on.

    Raises:
        ValueError: A protocol does not fit the model, the model does not know a category, or the
            corpus holds nothing to ask about.
        NonFiniteLogitsError: The model answers an image with NaN or infinity.
    """
    protocols = [protocol] if isinstance(protocol, str) else list(protocol)
    plans = [
        plan_questions(
            predictor, corpus, protocol=name, model_name=model_name, options=options, tiers=tiers
        )
        for name in protocols
    ]
    batches = list(_batches_of_rank(corpus.num_samples, options, rank=rank, num_ranks=num_ranks))
    bar = tqdm(
        total=sum(len(batch) for batch in batches),
        desc=f"evaluating {model_name} ({', '.join(protocols[:2])}{', ...' * (len(plans) > 2)})",
        unit="image",
        disable=None if progress else True,
    )
    records: list[EvaluationRecord] = []
    with bar:
        for batch in batches:
            before_batch()
            samples = [corpus.read_flat(index) for index in batch]
            for plan in plans:
                records += [
                    score_answer(
                        one.answer.mask,
                        question=one.question,
                        sample=one.sample,
                        options=options.scoring,
                        presence_logit=one.answer.presence_logit,
                    )
                    for one in ask(predictor, samples, positions=batch, plan=plan)
                ]
            bar.update(len(batch))
    return records


def _batches_of_rank(
    num_samples: int, options: EvaluationOptions, *, rank: int, num_ranks: int
) -> Iterator[list[int]]:
    """Yield this rank's batch of each round; in the last round some ranks have an empty one."""
    num_images = min(num_samples, options.max_images or num_samples)
    chosen = [index * num_samples // num_images for index in range(num_images)]
    size = options.images_per_batch
    for first in range(0, math.ceil(num_images / size), num_ranks):
        start = (first + rank) * size
        yield chosen[start : start + size]
