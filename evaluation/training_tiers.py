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

from shards import Corpus, find_shared_images, open_corpus, were_parted_at_build

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
    """What a run remembers of a corpus that it was trained on."""

    url: str
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


def trained_corpora(run: Path) -> list[TrainedCorpus] | None:
    """Return what a run was trained on, from its `environment.json`; None where it does not say."""
    path = run / "environment.json"
    if not path.is_file():
        return None
    corpora = json.loads(path.read_text(encoding="utf-8")).get("corpora", {})
    if not all("sources" in facts for facts in corpora.values()):
        return None  # written before runs remembered their sources
    return [
        TrainedCorpus(url=url, content_hash=facts["content_hash"], sources=tuple(facts["sources"]))
        for url, facts in corpora.items()
        if facts["is_trained_on"]
    ]


def tiers_of(corpus: Corpus, *, trained: Sequence[TrainedCorpus] | None) -> CorpusTiers:
    """Return the tiers of a corpus's images for a model that was trained on other corpora.

    A source of another name is held out, unless its images lie in a training corpus, which is
    looked up by their pixels. Of a source that was trained on, the subjects are held out where one
    build parted them; where that cannot be shown, the tier is unknown.

    Args:
        corpus: What is evaluated on.
        trained: What the model was trained on; None where nobody knows.
    """
    if not trained:
        return NO_TIERS
    opened = [one for one in map(_opened, trained) if one is not None]
    held_out = len(opened) == len(trained) and all(_are_apart(one, corpus) for one in opened)
    names = {name for one in trained for name in one.sources}
    known = "held_out_subjects" if held_out else UNKNOWN_TIER
    if any(one.content_hash == corpus.manifest.content_hash for one in trained):
        known = "seen"
    return CorpusTiers(
        by_source={
            source.name: known if source.name in names else "held_out_sources"
            for source in corpus.manifest.sources
        },
        seen_keys=_seen_keys(corpus, opened=opened) if known != "seen" else frozenset(),
    )


def _opened(trained: TrainedCorpus) -> Corpus | None:
    """Return the training corpus itself, if it is still where it was."""
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
    names = [{source.name for source in one.manifest.sources} for one in (trained, corpus)]
    return not names[0] & names[1] or were_parted_at_build(trained, corpus)


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
