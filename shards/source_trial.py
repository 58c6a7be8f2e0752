"""A trial of a raw folder: what a build would make of it, told before anything is built."""

import secrets
import tempfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from pathlib import Path

import numpy as np
from PIL import Image

from .build_report import BuildReport, InputError
from .building.plan import BuildPlan, plan_build
from .config import BuildConfig, ValidateSourceConfig
from .contact_sheet import draw_contact_sheet
from .own_data_config import OWN_DATA_SECTIONS, OwnDataConfig
from .reading import open_tree
from .sample import UltrasoundSample, key_word
from .shard_reader import open_corpus
from .shard_writer import write_corpus
from .source_guess import Guess, guess_sources
from .sources.folder import FOREGROUND
from .vocabulary import VOCABULARY

UNNAMED = "unnamed_"
"""Begins the category of a class of which nobody has said yet what it is."""


@dataclass(frozen=True, kw_only=True)
class SourceTrial:
    """What was found in a raw folder."""

    files: Counter[str]
    """Extension -> files."""

    guesses: tuple[Guess, ...]
    """Likeliest first."""

    chosen: Guess | None
    """What was tried; None where nothing is recognised."""

    build: BuildConfig | None
    """Options that build it, as given and as guessed."""

    plan: BuildPlan | None
    """None where nothing is recognised."""

    samples: tuple[UltrasoundSample, ...]
    """Those that were read, evenly over all."""

    report: BuildReport

    @property
    def is_sound(self) -> bool:
        """Whether a build would find nothing to complain of, as far as was looked."""
        has_objects = any(one.objects for one in self.samples)
        return has_objects and not self.report.num_problems and not self.unnamed

    @property
    def unnamed(self) -> tuple[str, ...]:
        """Return the classes of which nobody has said yet what they are."""
        if self.build is None or self.build.source not in OWN_DATA_SECTIONS:
            return ()
        categories = _section(self.build).categories
        return tuple(one for one, category in categories.items() if category.startswith(UNNAMED))


def try_source(config: ValidateSourceConfig) -> SourceTrial:
    """Look at `root`, guess what it is unless `source` says so, plan it and read some samples.

    Raises:
        ValueError: There is nothing at `root`, an archive in it cannot be trusted, or the options
            fit neither each other nor the files.
    """
    if config.root is None:
        raise ValueError("root=PLACE is needed: the folder or archive to look at.")
    report = BuildReport()
    tree = open_tree(Path(config.root), report=report)
    guesses = tuple(guess_sources(tree))
    chosen = _choose(guesses, source=config.source)
    build = plan = None
    samples: tuple[UltrasoundSample, ...] = ()
    if chosen is not None:
        build = _fill(config, guess=chosen)
        plan = _plan(build, report=report)
        samples = tuple(_read_some(plan, num_samples=config.num_pictures, report=report))
    return SourceTrial(
        files=Counter(file.suffix for file in tree.files),
        guesses=guesses,
        chosen=chosen,
        build=build,
        plan=plan,
        samples=samples,
        report=report,
    )


def draw_trial(trial: SourceTrial, *, num_columns: int, tile_pixels: int) -> Image.Image:
    """Draw the samples that were read, with the outlines of what is annotated in them."""
    assert trial.plan is not None
    with tempfile.TemporaryDirectory(prefix="samuspretrain-") as folder:
        write_corpus(trial.samples, folder, split="train", sources=trial.plan.descriptions)
        return draw_contact_sheet(
            open_corpus(folder),
            num_pictures=len(trial.samples),
            num_columns=num_columns,
            tile_pixels=tile_pixels,
        )


def _choose(guesses: tuple[Guess, ...], *, source: str) -> Guess | None:
    if source == ValidateSourceConfig.source:
        return guesses[0] if guesses else None
    same = [guess for guess in guesses if guess.source == source]
    return same[0] if same else Guess(source=source, why="as given")


def _fill(config: ValidateSourceConfig, *, guess: Guess) -> BuildConfig:
    """Return the options of a build, with what was guessed where nothing was given."""
    given = {field.name: getattr(config, field.name) for field in fields(BuildConfig)}
    build = BuildConfig(**{**given, "source": guess.source})
    if guess.source not in OWN_DATA_SECTIONS:
        return build
    options = _section(build)
    defaults = type(options)()
    is_free = all(getattr(options, name) == getattr(defaults, name) for name in guess.options)
    guessed = dict(guess.options) if is_free else {}  # they only fit each other
    if not options.name:
        name = Path(config.root or "").resolve().name.partition(".")[0]
        guessed["name"] = key_word(name).strip("-") or "own"
    categories, organs = dict(options.categories), dict(options.organs)
    declared = {key_word(one) for one in categories}
    for one in guess.classes or (() if declared else (FOREGROUND,)):
        if key_word(one) not in declared:
            word = key_word(one).replace("-", "_")
            categories[key_word(one)] = word if word in VOCABULARY else f"{UNNAMED}{word}"
    organs |= {one: "unknown" for one in categories.values() if one.startswith(UNNAMED)}
    filled = replace(options, **guessed, categories=categories, organs=organs)
    return replace(build, **{guess.source: filled})


def _plan(build: BuildConfig, *, report: BuildReport) -> BuildPlan:
    if build.source == "dicom" and build.dicom.salt_file is None:
        with tempfile.TemporaryDirectory(prefix="samuspretrain-") as folder:
            secret = Path(folder) / "secret"
            secret.write_text(secrets.token_hex(), "ascii")
            options = replace(build.dicom, salt_file=str(secret))
            return plan_build(replace(build, dicom=options), report)
    plan = plan_build(build, report)
    if not plan.num_samples["train"] and not report.num_problems:
        message = (
            f"root={build.root}: all images were drawn for other splits, since they are so few. "
            "Take another split_seed, or lower validation_fraction and test_fraction."
        )
        report.add(InputError("no image for training", message))
    return plan


def _read_some(
    plan: BuildPlan, *, num_samples: int, report: BuildReport
) -> Iterator[UltrasoundSample]:
    planned = list({one.key: one for shard in plan.shards for one in shard.samples}.values())
    places = np.linspace(0, len(planned) - 1, min(len(planned), num_samples)).round().astype(int)
    for place in places:
        try:
            sample = planned[place].read()
        except InputError as problem:
            report.add(problem)
        except ValueError as error:
            report.add(InputError("unreadable or unsupported file", str(error)))
        else:
            for note in sample.notes:
                report.note(note)
            yield sample


def _section(build: BuildConfig) -> OwnDataConfig:
    return getattr(build, build.source)
