"""The audit: one survey, then everything that is wrong with it."""

import dataclasses
import hashlib
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from shards.audit_config import AuditConfig
from shards.manifest import to_json_file
from shards.shard_reader import open_corpus
from shards.validation import corpus_urls

from .annotation_outliers import Outlier, count_at_border, find_outliers
from .audit_page import draw_page
from .duplicates import DuplicatePair, find_exact_duplicates, find_near_duplicates
from .image_survey import ImageSurvey, survey_images
from .leaks import Leak, choose_removed, find_leaks, find_licence_conflicts

EXCLUDED_NAME = "excluded.txt"


@dataclass(frozen=True, kw_only=True)
class Audit:
    """What was found."""

    survey: ImageSurvey
    pairs: tuple[DuplicatePair, ...]
    leaks: tuple[Leak, ...]
    outliers: tuple[Outlier, ...]
    licence_conflicts: tuple[str, ...]
    removed: tuple[int, ...]
    """Images that must leave their split so that no leak is left."""

    @property
    def is_blessed(self) -> bool:
        """Whether no split holds what another one has."""
        return not self.leaks

    def counts(self) -> dict[str, int]:
        """Return the number of findings of every kind."""
        leaks = Counter(f"leak: {leak.kind}" for leak in self.leaks)
        outliers = Counter(f"outlier: {outlier.kind}" for outlier in self.outliers)
        return {
            "images": len(self.survey.images),
            "exact duplicates": sum(pair.is_exact for pair in self.pairs),
            "near duplicates": sum(not pair.is_exact for pair in self.pairs),
            **dict(sorted(leaks.items())),
            **dict(sorted(outliers.items())),
            "licence conflicts": len(self.licence_conflicts),
        }


def audit_corpora(config: AuditConfig) -> Audit:
    """Read all corpora once, compare them, and write the report.

    Raises:
        ValueError: A corpus is damaged, or was given twice.
        OSError: A corpus cannot be read, or the report not be written.
    """
    urls = [one for url in config.urls for one in corpus_urls(url)]
    twice = sorted(url for url, count in Counter(urls).items() if count > 1)
    if twice:
        raise ValueError(f"urls: {', '.join(twice)} comes twice. Name every corpus once.")
    survey = survey_images(
        [open_corpus(url) for url in urls],
        has_descriptors=config.near_duplicates,
        num_workers=config.num_workers,
    )
    pairs = find_exact_duplicates(survey)
    if config.near_duplicates:
        pairs += find_near_duplicates(survey, num_workers=config.num_workers)
    audit = Audit(
        survey=survey,
        pairs=tuple(pairs),
        leaks=tuple(find_leaks(survey, pairs=pairs)),
        outliers=tuple(find_outliers(survey.objects, sources=survey.sources)),
        licence_conflicts=tuple(find_licence_conflicts(survey, pairs=pairs)),
        removed=tuple(choose_removed(survey, pairs=pairs)),
    )
    _write(audit, config=config)
    return audit


def _write(audit: Audit, *, config: AuditConfig) -> None:
    folder = Path(config.output)
    folder.mkdir(parents=True, exist_ok=True)
    fields = _fields(audit)
    listed = folder / EXCLUDED_NAME
    listed.unlink(missing_ok=True)  # that of an earlier audit
    if config.remove == "training":
        images = audit.survey.images
        lines = sorted(f"{images[number].split} {images[number].key}" for number in audit.removed)
        content = "".join(f"{line}\n" for line in lines).encode("ascii")
        listed.write_bytes(content)
        fields["excluded_sha256"] = hashlib.sha256(content).hexdigest()
    page = draw_page(
        audit.survey,
        counts=audit.counts(),
        pairs=audit.pairs,
        leaks=audit.leaks,
        outliers=audit.outliers,
        licence_conflicts=audit.licence_conflicts,
        max_pictures=config.max_pictures,
    )
    (folder / "audit.html").write_text(page, encoding="utf-8")
    (folder / "audit.json").write_bytes(to_json_file(fields))


def _fields(audit: Audit) -> dict[str, Any]:
    images = audit.survey.images
    at_border = count_at_border(audit.survey.objects, sources=audit.survey.sources)

    def named(number: int) -> dict[str, str]:
        image = images[number]
        return {"split": image.split, "key": image.key}

    return {
        "is_blessed": audit.is_blessed,
        "corpora": {corpus.url: corpus.manifest.content_hash for corpus in audit.survey.corpora},
        "counts": audit.counts(),
        "leaks": [
            {"kind": leak.kind, "images": [named(leak.first), named(leak.second)]}
            for leak in audit.leaks
        ],
        "pairs": [
            {
                "images": [named(pair.first), named(pair.second)],
                "is_exact": pair.is_exact,
                "is_mirrored": pair.is_mirrored,
                "correlation": round(pair.correlation, 3),
            }
            for pair in audit.pairs
        ],
        "outliers": [
            {**named(one.image), "category": one.category, "kind": one.kind, "what": one.what}
            for one in audit.outliers
        ],
        "masks_at_border": [dataclasses.asdict(one) for one in at_border],
        "licence_conflicts": list(audit.licence_conflicts),
        "num_removed": len(audit.removed),
    }
