"""The corpora of a run, opened and checked, and the order in which they are trained on."""

import logging
from dataclasses import dataclass
from typing import Any

import numpy as np

from shards import (
    Corpus,
    StreamPlan,
    StreamSource,
    check_cache,
    check_licences,
    first_shared_image,
    open_corpus,
    read_sequences,
)

from .config import DataConfig

_logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class TrainingData:
    """What a run trains on and is scored on."""

    corpora: tuple[Corpus, ...]
    plan: StreamPlan
    validation: Corpus | None

    @property
    def categories(self) -> tuple[str, ...]:
        """Every category that a training source annotates, sorted."""
        return tuple(sorted({name for one in self.corpora for name in one.manifest.categories}))

    @property
    def opened(self) -> tuple[Corpus, ...]:
        """All corpora of the run."""
        return (*self.corpora, *([self.validation] if self.validation else []))

    @property
    def facts(self) -> dict[str, Any]:
        """What `environment.json` and MLflow remember of the corpora."""
        return {
            one.url: {
                "is_trained_on": one in self.corpora,
                "split": one.manifest.split,
                "sources": [source.name for source in one.manifest.sources],
                "content_hash": one.manifest.content_hash,
                "num_samples": one.num_samples,
                "num_objects": one.manifest.num_objects,
            }
            for one in self.opened
        }


def open_training_data(config: DataConfig, *, seed: int) -> TrainingData:
    """Open every corpus of the run and plan the order of its samples.

    Raises:
        FileNotFoundError: A URL holds no corpus, or one that cannot tell its sequences.
        ValueError: A corpus is damaged, has no objects or none under the licences asked for, or the
            validation corpus shares images with a training corpus.
    """
    corpora = tuple(open_corpus(source.url, reading=config) for source in config.sources)
    if config.licences is not None:
        check_licences(config.licences, corpora=corpora)
        corpora = tuple(_select(one, licences=config.licences) for one in corpora)
    check_cache(
        config,
        manifests=[one.manifest for one in corpora],
        shards_per_block=config.shards_per_block,
    )
    if all(one.manifest.num_objects == 0 for one in corpora):
        urls = ", ".join(one.url for one in corpora)
        raise ValueError(f"data.train: no object in any image of {urls}: nothing to train on.")
    plan = StreamPlan(
        [
            StreamSource(
                content_hash=corpus.manifest.content_hash,
                weight=source.weight,
                samples_per_shard=corpus.samples_per_shard,
                dataset_of_shard=tuple(shard.source for shard in corpus.manifest.shards),
                sequences=_sequences(corpus, config=config),
            )
            for corpus, source in zip(corpora, config.sources, strict=True)
        ],
        seed=seed,
        shards_per_block=config.shards_per_block,
        mixing_temperature=config.mixing_temperature,
        max_per_sequence=config.max_per_sequence,
    )
    validation = None
    if config.validation is not None:
        validation = open_corpus(config.validation, reading=config.without_cache())
    if validation is not None:
        _check_validation(validation, corpora=corpora)
    return TrainingData(corpora=corpora, plan=plan, validation=validation)


def _select(corpus: Corpus, *, licences: list[str]) -> Corpus:
    kept = corpus.select(licences=licences)
    left_out = corpus.num_samples - kept.num_samples
    _logger.info("%s: %d samples are left out by data.licences.", corpus.url, left_out)
    return kept


def _sequences(corpus: Corpus, *, config: DataConfig) -> np.ndarray | None:
    if config.max_per_sequence is None:
        return None
    try:
        return read_sequences(corpus)
    except FileNotFoundError as error:
        raise FileNotFoundError(
            f"data.max_per_sequence={config.max_per_sequence} has to know which images are frames "
            f"of one sequence: {error} Builds of older programs do not tell."
        ) from error


def _check_validation(validation: Corpus, *, corpora: tuple[Corpus, ...]) -> None:
    if validation.manifest.num_objects == 0:
        raise ValueError(
            f"data.validation: {validation.url} holds no object to score. Give a split that has "
            "some, or leave data.validation out."
        )
    for one in corpora:
        shared = first_shared_image(one, validation)
        if shared is not None:
            raise ValueError(
                f"data.validation: {validation.url} shares images with data.train: "
                f"{shared.second_key} is {shared.first_key} of {one.url}, so its scores would be "
                "those of images seen in training. Give a split that was held out."
            )
