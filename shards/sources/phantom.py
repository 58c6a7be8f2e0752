"""Simulated subjects, each with a series of frames: the corpus that needs no download."""

from functools import partial

import numpy as np

from shards.build_report import BuildReport
from shards.config import BuildConfig, PhantomConfig
from shards.manifest import SourceDescription
from shards.sample import Origin, UltrasoundObject, UltrasoundSample, hash_pixels, make_key

from .phantom_physics import STRUCTURES, Scene, draw_scene, simulate_frame
from .source_plan import PlannedSample, SourcePlan

SOURCE_NAME = "phantom"
LICENCE = "CC0-1.0"
ORGAN = "phantom"

DESCRIPTION = SourceDescription(
    name=SOURCE_NAME,
    version="1",
    licence=LICENCE,
    citation="Simulated by samuspretrain; no patient and no scanner is behind it.",
    home_page="",
    categories=tuple(sorted(structure.category for structure in STRUCTURES)),
)


def plan_phantom(config: BuildConfig, report: BuildReport) -> SourcePlan:
    """Plan the simulated subjects; of every eight one is for the test and one for validation."""
    options = config.phantom
    report.note("subjects simulated", count=options.num_subjects)
    samples = [
        _plan_frame(options, subject=subject, frame=frame)
        for subject in range(options.num_subjects)
        for frame in range(options.frames_per_subject)
    ]
    return SourcePlan(
        descriptions=(DESCRIPTION,),
        samples=tuple(samples),
        grouping_rule="phantom: the simulated subject",
    )


def _plan_frame(options: PhantomConfig, *, subject: int, frame: int) -> PlannedSample:
    name = f"subject-{subject:04d}"
    key = make_key(SOURCE_NAME, name=f"{name}_{frame:03d}")
    split = _split_of(subject, num_subjects=options.num_subjects)
    return PlannedSample(
        key=key,
        source=SOURCE_NAME,
        subject=name,
        subject_is_known=True,
        split=split,
        where=key,
        fingerprint=f"{options.seed}/{subject}/{frame}",
        read=partial(_simulate, options, key=key, subject=subject, frame=frame),
    )


def _split_of(subject: int, *, num_subjects: int) -> str:
    """Return test and validation once in every eight subjects; a smaller corpus has one of each."""
    place = subject % min(8, num_subjects)
    return {0: "test", 1: "validation"}.get(place, "train")


def _simulate(options: PhantomConfig, *, key: str, subject: int, frame: int) -> UltrasoundSample:
    scene = _scene_of(options, subject=subject)
    image, masks = simulate_frame(
        scene,
        progress=frame / max(options.frames_per_subject, 2),
        generator=np.random.default_rng((options.seed, subject, frame + 1)),
    )
    objects = tuple(
        UltrasoundObject.from_mask(mask, category=category, organ=ORGAN)
        for category, mask in masks
        if mask.any()
    )
    origin = Origin(
        source=SOURCE_NAME,
        licence=LICENCE,
        subject=f"subject-{subject:04d}",
        subject_is_known=True,
        sequence=f"subject-{subject:04d}",
        frame=frame,
        spacing_millimetres=(scene.spacing_millimetres, scene.spacing_millimetres),
        original_size=(image.shape[0], image.shape[1]),
        official_split=_split_of(subject, num_subjects=options.num_subjects),
        pixels_sha256=hash_pixels(image),
    )
    return UltrasoundSample(key=key, image=image, objects=objects, origin=origin)


def _scene_of(options: PhantomConfig, *, subject: int) -> Scene:
    return draw_scene(
        np.random.default_rng((options.seed, subject, 0)),
        min_size_pixels=options.min_size_pixels,
        max_size_pixels=options.max_size_pixels,
    )
