"""What an encoder is worth for other tasks: heads on encoders of several origins, on equal terms.

Axis names used in this file:
    row       one held-out image, or one category in it
    class     one class of a classification
    feature   of the encoder's stages, averaged over the image
"""

import itertools
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from jaxtyping import Float
from tqdm import tqdm

from evaluation import (
    CLASSIFICATION_SCORES,
    ClassifiedImages,
    Interval,
    bootstrap_difference,
    bootstrap_mean,
    classification_differences,
    classification_intervals,
    count_overlap,
    overlap_differences,
    tiers_of,
    trained_corpora,
    usable_device,
)
from model import (
    PRESETS,
    FeatureExtractor,
    Segmenter,
    build_segmenter,
    feature_extractor,
    load_segmenter,
    load_weights,
)
from pipeline.batches import annotated_categories
from pipeline.seeding import make_deterministic, seed_first_weights
from shards import Corpus, first_shared_image, open_corpus

from .config import EncoderSource, TransferConfig
from .data import (
    LabelledImage,
    TransferView,
    all_images,
    classes_of,
    labelled_images,
    labelled_part,
    masks_by_category,
)
from .heads import Classifier, LightDecoder, pooled_features, train_head

if TYPE_CHECKING:
    from sklearn.pipeline import Pipeline

_logger = logging.getLogger(__name__)

SCORES = {"classification": CLASSIFICATION_SCORES, "segmentation": ("dice",)}
"""What is measured, by task."""


@dataclass(frozen=True, kw_only=True)
class TransferRow:
    """One encoder, used in one way, with so many labelled images."""

    encoder: str
    method: str
    fraction: float
    num_labelled: int
    scores: dict[str, Interval]
    differences: dict[str, Interval]
    """Minus the reference encoder, used alike; empty for the reference itself."""


@dataclass(frozen=True, kw_only=True)
class TransferOutcome:
    """Every row, and what they are about."""

    task: str
    classes: tuple[str, ...]
    """Or categories, of a segmentation."""

    reference: str
    rows: tuple[TransferRow, ...]


@dataclass(frozen=True, kw_only=True, eq=False)
class _SegmentedImages:
    """Dice of every category that an image shows, or that was drawn into it."""

    dice: Float[np.ndarray, " row"]
    """NaN where neither reference nor prediction has a pixel."""

    subjects: tuple[str, ...]


_Answers = ClassifiedImages | _SegmentedImages


def run_transfer(config: TransferConfig) -> TransferOutcome:
    """Put every encoder to the task, with every method and share of labels.

    Raises:
        ValueError: A corpus, an encoder or a label does not fit.
        FileNotFoundError: A corpus or the weights of an encoder are not there.
    """
    make_deterministic()
    train, test = ([open_corpus(url) for url in urls] for urls in (config.train, config.test))
    _refuse_shared_images(train, test)
    for name, source in config.sources.items():
        _warn_of_seen_images(name, source.weights, test=test)
    if config.task == "classification":
        classes = classes_of(train, label=config.label)
        images = [
            labelled_images(one, label=config.label, classes=classes) for one in (train, test)
        ]
        _warn_of_lacking_classes(images[1], classes=classes)
    else:
        classes = tuple(sorted({name for one in train for name in one.manifest.categories}))
        images = [all_images(one) for one in (train, test)]
    job = _Job(config, classes=classes, train=images[0], test=images[1], corpora=[*train, *test])
    combinations = [
        (name, method, fraction)
        for name in config.sources
        for method in config.chosen_methods
        for fraction in sorted(set(config.fractions))
    ]
    answers = {
        (name, method, fraction): job.answers(name, method=method, fraction=fraction)
        for name, method, fraction in tqdm(combinations, desc="transfer", disable=None)
    }
    reference = config.reference_encoder
    rows = [
        TransferRow(
            encoder=name,
            method=method,
            fraction=fraction,
            num_labelled=len(job.labelled(fraction)),
            scores=_scores(found, config=config),
            differences={}
            if name == reference
            else _differences(found, answers[reference, method, fraction], config=config),
        )
        for (name, method, fraction), found in answers.items()
    ]
    return TransferOutcome(task=config.task, classes=classes, reference=reference, rows=tuple(rows))


class _Job:
    """The data, and one encoder at a time."""

    def __init__(
        self,
        config: TransferConfig,
        *,
        classes: tuple[str, ...],
        train: list[LabelledImage],
        test: list[LabelledImage],
        corpora: Sequence[Corpus],
    ) -> None:
        self._config = config
        self._classes = classes
        self._train = train
        self._test = test
        self._annotated = annotated_categories(corpora)
        self._device = usable_device(config.device)
        self._opened: dict[str, Segmenter] = {}
        self._features: dict[str, tuple[np.ndarray, np.ndarray]] = {}

    def labelled(self, fraction: float) -> list[LabelledImage]:
        return labelled_part(self._train, fraction=fraction, seed=self._config.seed)

    def answers(self, name: str, *, method: str, fraction: float) -> _Answers:
        """Train one head, and return what it says of the held-out images."""
        if name not in self._opened:  # one at a time: they can be large
            self._opened = {
                name: open_encoder(name, self._config.sources[name], seed=self._config.seed).to(
                    self._device
                )
            }
            self._features = {}
        segmenter, labelled = self._opened[name], self.labelled(fraction)
        if method in {"linear_probe", "nearest_neighbours"}:
            probe = self._probe(name, method=method, labelled=labelled)
            return self._classified(probe.predict_proba(self._features[name][1]))
        seed_first_weights(self._config.seed)
        # On a copy of the encoder: the next head starts from it as it came.
        encoder, num_outputs = feature_extractor(segmenter), len(self._classes)
        if self._config.task == "classification":
            module = Classifier(encoder, num_outputs)
            probe = self._probe(name, method="linear_probe", labelled=labelled)
            module.start_from(**_linear_parts(probe))
        else:
            module = LightDecoder(encoder, num_outputs)
        module.to(self._device)
        view = self._view(segmenter)
        train_head(
            module,
            view.shuffled(labelled, num_steps=self._config.max_steps),
            num_steps=self._config.max_steps,
            head_rate=self._config.peak_learning_rate,
            encoder_rate=self._config.encoder_learning_rate if method == "fine_tune" else None,
        )
        with torch.inference_mode():
            if isinstance(module, LightDecoder):
                return self._segmented(module, view=view)
            logits = torch.cat([module(batch.images) for batch in view.once(self._test)])
        return self._classified(logits.softmax(dim=1).double().cpu().numpy())

    def _view(self, segmenter: Segmenter) -> TransferView:
        config = self._config
        return TransferView(
            framing=segmenter.framing,
            num_channels=segmenter.architecture.num_channels,
            categories=self._classes if config.task == "segmentation" else (),
            annotated=self._annotated,
            augmentation=config.augmentation,
            seed=config.seed,
            batch_size=config.batch_size,
            num_workers=config.num_workers,
            device=self._device,
        )

    def _classified(self, probabilities: Float[np.ndarray, "row class"]) -> ClassifiedImages:
        return ClassifiedImages(
            probabilities=probabilities,
            labels=np.array([one.label for one in self._test]),
            subjects=[one.subject for one in self._test],
        )

    def _probe(self, name: str, *, method: str, labelled: Sequence[LabelledImage]) -> "Pipeline":
        """Return a classifier of frozen, standardised features, fitted to the labelled images."""
        from sklearn.linear_model import LogisticRegression  # noqa: PLC0415 -- takes a second
        from sklearn.neighbors import KNeighborsClassifier  # noqa: PLC0415 -- takes a second
        from sklearn.pipeline import make_pipeline  # noqa: PLC0415 -- takes a second
        from sklearn.preprocessing import StandardScaler  # noqa: PLC0415 -- takes a second

        if name not in self._features:
            encoder = feature_extractor(self._opened[name]).eval()
            view = self._view(self._opened[name])
            self._features[name] = (
                _features(encoder, self._train, view=view),
                _features(encoder, self._test, view=view),
            )
        of_train, _ = self._features[name]
        place_of = {id(image): place for place, image in enumerate(self._train)}
        labels = np.array([one.label for one in labelled])
        if method == "linear_probe":
            classifier = LogisticRegression(max_iter=1_000)
        else:
            classifier = KNeighborsClassifier(
                n_neighbors=min(self._config.num_neighbours, len(labelled)), metric="cosine"
            )
        probe = make_pipeline(StandardScaler(), classifier)
        probe.fit(of_train[[place_of[id(one)] for one in labelled]], labels)
        return probe

    def _segmented(self, module: LightDecoder, *, view: TransferView) -> _SegmentedImages:
        dice: list[float] = []
        subjects: list[str] = []
        images = iter(self._test)
        for batch in view.once(self._test):
            for logits, is_annotated in zip(module(batch.images), batch.annotated, strict=True):
                image = next(images)
                sample = image.read()
                drawn = masks_by_category(sample, categories=self._classes)
                found = view.framing.unframe(logits, original_size=sample.size).cpu().numpy() > 0
                for place in np.flatnonzero(is_annotated.cpu().numpy()):
                    dice.append(count_overlap(found[place], reference=drawn[place]).dice)
                    subjects.append(image.subject)
        return _SegmentedImages(dice=np.array(dice), subjects=tuple(subjects))


def _linear_parts(probe: "Pipeline") -> dict[str, np.ndarray]:
    """Return what a linear probe is made of, with a row of weights for each of two classes too."""
    scaler: Any = probe[0]
    regression: Any = probe[-1]
    weight, bias = regression.coef_, regression.intercept_
    if len(weight) == 1:  # of the second class against the first
        weight, bias = np.concatenate([-weight, weight]) / 2, np.concatenate([-bias, bias]) / 2
    return {"mean": scaler.mean_, "deviation": scaler.scale_, "weight": weight, "bias": bias}


def _warn_of_lacking_classes(
    held_out: Sequence[LabelledImage], *, classes: tuple[str, ...]
) -> None:
    """Warn where the scores are about fewer classes than the heads tell apart."""
    there = {image.label for image in held_out}
    lacking = [name for index, name in enumerate(classes) if index not in there]
    if lacking:
        _logger.warning(
            "The held-out corpora have no image of %s: scores are about %d of %d labels, and with "
            "fewer than two there is no AUROC.",
            ", ".join(lacking),
            len(there),
            len(classes),
        )


def _refuse_shared_images(train: Sequence[Corpus], test: Sequence[Corpus]) -> None:
    for one, other in itertools.product(train, test):
        shared = first_shared_image(one, other)
        if shared is not None:
            raise ValueError(
                f"test: {other.url} shares images with {one.url}: {shared.second_key} is "
                f"{shared.first_key}, so heads would be scored on what they learnt. Give splits of "
                "one build."
            )


def _warn_of_seen_images(name: str, weights: str | None, *, test: Sequence[Corpus]) -> None:
    """Say where an encoder's own training held images that the heads are scored on."""
    trained = None if weights is None else trained_corpora(Path(weights))
    for corpus in test:
        tiers = tiers_of(corpus, trained=trained)
        seen = "all" if "seen" in tiers.by_source.values() else len(tiers.seen_keys)
        if seen:
            _logger.warning(
                "encoders.%s was itself trained on %s of the %d images of %s.",
                name,
                seen,
                corpus.num_samples,
                corpus.url,
            )


def open_encoder(name: str, source: EncoderSource, *, seed: int) -> Segmenter:
    """Return the segmenter whose encoder is meant, with its weights.

    Raises:
        ValueError: There is no such preset, the file does not fit it, or it has no such encoder.
        FileNotFoundError: There is no such run, checkpoint or file.
    """
    if source.preset is not None and source.preset not in PRESETS:
        raise ValueError(
            f"encoders.{name}: there is no preset {source.preset}. Presets: "
            f"{', '.join(sorted(PRESETS))}."
        )
    if source.weights is None:
        assert source.preset is not None
        seed_first_weights(seed)
        segmenter = build_segmenter(source.preset)
    elif source.preset is None:
        if not Path(source.weights).is_dir():
            raise FileNotFoundError(
                f"encoders.{name}: there is no run or checkpoint {source.weights}. For a weights "
                "file write {preset: NAME, weights: FILE}; for random weights {preset: NAME}."
            )
        segmenter = load_segmenter(
            source.weights, base=None if source.base is None else Path(source.base)
        )
    else:
        segmenter = build_segmenter(source.preset)
        report = load_weights(segmenter, source.weights)
        _logger.info("encoders.%s: %s", name, report)
    feature_extractor(segmenter)  # refused here where there is none
    return segmenter


def _features(
    encoder: FeatureExtractor, images: Sequence[LabelledImage], *, view: TransferView
) -> Float[np.ndarray, "row feature"]:
    with torch.inference_mode():
        pooled = [pooled_features(encoder, batch.images) for batch in view.once(images)]
    return torch.cat(pooled).double().cpu().numpy()


def _scores(answers: _Answers, *, config: TransferConfig) -> dict[str, Interval]:
    if isinstance(answers, ClassifiedImages):
        return classification_intervals(answers, options=config.intervals)
    return {
        "dice": bootstrap_mean(answers.dice, subjects=answers.subjects, options=config.intervals)
    }


def _differences(
    answers: _Answers, reference: _Answers, *, config: TransferConfig
) -> dict[str, Interval]:
    if isinstance(answers, ClassifiedImages):
        assert isinstance(reference, ClassifiedImages)
        return classification_differences(answers, reference=reference, options=config.intervals)
    assert isinstance(reference, _SegmentedImages)
    interval, _ = bootstrap_difference(
        overlap_differences(answers.dice, reference.dice),
        subjects=answers.subjects,
        options=config.intervals,
    )
    return {"dice": interval}
