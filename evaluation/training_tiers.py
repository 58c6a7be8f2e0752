"""How near an evaluated image is to what the model was trained on; tiers are never averaged.

A model scores highest on images that it has seen, lower on other subjects of the same source, and
lowest on a source of another hospital and scanner. One mean over all of them says nothing about
any.
"""

import json
import logging
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from shards import (
    Corpus,
    find_shared_images,
    open_corpus,
    split_of_build,
    were_parted_at_build,
)

from .deployable.folder import EVALUATION_FILE, is_deployable

UNKNOWN_TIER = "unknown"

TIERS: dict[str, str] = {
    "seen": "images that the model was trained on",
    "held_out_subjects": "other subjects of the sources that the model was trained on",
    "held_out_sources": "sources that the model was not trained on",
    UNKNOWN_TIER: "images that the model may or may not have been trained on",
}
"""Every tier and what it holds, from the easiest to the hardest."""

_logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class TrainedCorpus:
    """What a run or deployable remembers of a corpus that it learnt from."""

    url: str | None
    """Where it was; None in what has left the house."""

    content_hash: str
    sources: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class CorpusTiers:
    """The tier of every image of one corpus; without knowledge it is unknown."""

    by_source: Mapping[str, str] = field(default_factory=dict)
    seen_keys: Collection[str] = frozenset()
    """Images that lie in a training corpus, under whatever name."""

    def tier(self, *, source: str, key: str) -> str:
        """Return the tier of an image."""
        if key in self.seen_keys:
            return "seen"
        return self.by_source.get(source, UNKNOWN_TIER)


NO_TIERS = CorpusTiers()


def run_of_checkpoint(checkpoint: Path) -> Path | None:
    """Return the run folder that a checkpoint lies in, or None for a checkpoint on its own."""
    parents = checkpoint.absolute().parents
    return parents[1] if parents[0].name == "checkpoints" else None


def trained_corpora(folder: Path) -> list[TrainedCorpus] | None:
    """Return what a model learnt from, also by the weights that it began with.

    Args:
        folder: A run, a checkpoint in one, or a deployable.

    Returns:
        The corpora; None where the folder does not say, or not of all that it began with.
    """
    if is_deployable(folder):
        return _read_corpora(_read_json(folder / EVALUATION_FILE).get("trained_on"))
    facts = _read_json((run_of_checkpoint(folder) or folder) / "environment.json")
    own = [
        {"url": url, **corpus}
        for url, corpus in facts.get("corpora", {}).items()
        if corpus.get("is_trained_on", True)
    ]
    found = [_read_corpora(one) for one in (own or None, *facts.get("learnt_from", {}).values())]
    known = [corpora for corpora in found if corpora is not None]
    if len(known) < len(found):
        return None
    return list(dict.fromkeys(corpus for corpora in known for corpus in corpora))


def _read_json(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}


def _read_corpora(facts: Sequence[Mapping[str, Any]] | None) -> list[TrainedCorpus] | None:
    """Return the corpora of a list in JSON; None without one, or of times without sources."""
    if facts is None or not all("sources" in one for one in facts):
        return None
    return [
        TrainedCorpus(
            url=one.get("url"), content_hash=one["content_hash"], sources=tuple(one["sources"])
        )
        for one in facts
    ]


def tiers_of(corpus: Corpus, *, trained: Sequence[TrainedCorpus] | None) -> CorpusTiers:
    """Return the tiers of a corpus's images for a model that was trained on other corpora.

    A source of another name is held out, unless its images lie in a training corpus, which is
    looked up by their pixels. Of a source that was trained on, the subjects are held out where one
    build parted them. Where that cannot be shown, the tier is unknown.

    Args:
        corpus: What is evaluated on.
        trained: What the model was trained on; None where nobody knows.
    """
    if not trained:
        return NO_TIERS
    if any(one.content_hash == corpus.manifest.content_hash for one in trained):
        return CorpusTiers(by_source=dict.fromkeys(_names(corpus), "seen"))
    found = [_opened(one, beside=corpus) for one in trained]
    opened = [one for one in found if one is not None]
    are_all_known = len(opened) == len(trained)
    is_parted = are_all_known and all(_are_apart(one, corpus) for one in opened)
    same, other = (
        ("held_out_subjects" if is_parted else UNKNOWN_TIER),
        ("held_out_sources" if are_all_known else UNKNOWN_TIER),
    )
    words = {word for one in trained for name in one.sources for word in source_words(name)}
    return CorpusTiers(
        by_source={name: same if source_words(name) & words else other for name in _names(corpus)},
        seen_keys=_seen_keys(corpus, opened=opened),
    )


def refuse_seen(corpus: Corpus, *, trained: Sequence[TrainedCorpus] | None) -> None:
    """Raise where a gate would be measured on images that the model was trained on.

    Raises:
        ValueError: The corpus, or an image of it, was trained on.
    """
    tiers = tiers_of(corpus, trained=trained)
    if "seen" in tiers.by_source.values():
        told = "the model was trained on this very corpus"
    elif tiers.seen_keys:
        shown = min(tiers.seen_keys)
        told = f"the model was trained on {len(tiers.seen_keys)} of its images, such as {shown}"
    else:
        return
    raise ValueError(
        f"data={corpus.url}: {told}, so a gate on it says nothing. Give a held-out split, such as "
        "the test of the same build."
    )


def source_words(source: str) -> frozenset[str]:
    """Return what a source may be called: `thyroidnodule-tn3k` of US30K's layout is also `tn3k`."""
    names = (source, source.rpartition("-")[2])
    return frozenset("".join(filter(str.isalnum, name)) for name in names)


def _names(corpus: Corpus) -> list[str]:
    return [source.name for source in corpus.manifest.sources]


def _opened(trained: TrainedCorpus, *, beside: Corpus) -> Corpus | None:
    """Return the training corpus itself: another split of the same build, or where it was."""
    sibling = split_of_build(beside, content_hash=trained.content_hash)
    if sibling is not None or trained.url is None:
        return sibling
    try:
        corpus = open_corpus(trained.url)
    except (OSError, ValueError) as error:
        _logger.warning("Not looked up for images seen in training: %s", error)
        return None
    if corpus.manifest.content_hash != trained.content_hash:
        _logger.warning(
            "%s: is not the corpus that the model was trained on; it was built again, or the run "
            "chose a part of it (data.licences).",
            trained.url,
        )
        return None
    return corpus


def _are_apart(trained: Corpus, corpus: Corpus) -> bool:
    """Say whether one build parted the subjects of the two, or they share no source at all."""
    words, others = (
        {word for name in _names(one) for word in source_words(name)} for one in (trained, corpus)
    )
    return not words & others or were_parted_at_build(trained, corpus)


def _seen_keys(corpus: Corpus, *, opened: Sequence[Corpus]) -> frozenset[str]:
    seen = {shared.second_key for one in opened for shared in find_shared_images(one, corpus)}
    if seen:
        _logger.warning(
            "%s: %d of its %d images lie in a training corpus; they are reported apart.",
            corpus.url,
            len(seen),
            corpus.num_samples,
        )
    return frozenset(seen)
