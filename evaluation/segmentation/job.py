"""Pictures, DICOM files and videos in, masks in files out. No reference is needed."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from evaluation.deployable.predict import Prompt, check_prompt, read_image
from evaluation.image_prompt import ImagePrompt
from evaluation.model_opening import ModelOptions, opened_predictor
from evaluation.output_folder import check_writable
from evaluation.predictor import Predictor, threshold_logits
from shards import FrameFile, RunLength

from .config import PredictConfig
from .dicom_seg_file import write_dicom_seg
from .input_files import FileToSegment, find_files, open_frames
from .mask_files import (
    MaskRow,
    draw_overlay,
    stem_of_mask,
    write_coco,
    write_measurements,
    write_nifti,
    write_png,
)
from .mask_measurement import measure_mask
from .pixel_scale import OUT_OF_REGIONS, PixelScale, scale_of
from .prompt_file import read_prompt_file


@dataclass(kw_only=True)
class SegmentedFile:
    """What became of one file."""

    path: Path
    rows: list[MaskRow] = field(default_factory=list)
    """One for each mask of each frame."""

    written: list[Path] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    """What was written otherwise than it was asked for, and why."""

    error: str | None = None
    """Why the file could not be segmented; its tables hold nothing of it then."""


@dataclass(kw_only=True)
class SegmentationJob:
    """Everything that a prediction is about, checked before the model is opened."""

    config: PredictConfig
    files: list[FileToSegment]
    prompts: dict[str, Prompt]
    """By file; files that are not named have no prompt."""

    folder: Path
    stops_at_errors: bool
    """A lone file's error is the command's; of a folder the other files are segmented."""


def plan_segmentation(config: PredictConfig) -> SegmentationJob:
    """Find the files and what is asked of them.

    Raises:
        FileNotFoundError: There is nothing to segment.
        ValueError: The prompts cannot be understood, or name files that are not there.
        OSError: The output folder cannot be written.
    """
    image, folder = Path(config.image), Path(config.output)
    files = find_files(image, output=folder)
    if config.prompts is None:
        prompt = Prompt(points=_pairs(config.points), labels=config.labels, box=config.box)
        has_prompt = bool(config.points or config.labels or config.box)
        prompts = {file.name: prompt for file in files} if has_prompt else {}
    else:
        prompts = read_prompt_file(Path(config.prompts))
        strangers = sorted(set(prompts) - {file.name for file in files})
        if strangers:
            raise ValueError(
                f"prompts={config.prompts}: names {strangers[0]!r}, which is not among the "
                f"{len(files)} files of image={config.image}. Name files as they lie below it, "
                f"such as {files[0].name!r}."
            )
    return SegmentationJob(
        config=config,
        files=files,
        prompts=prompts,
        folder=writable_folder(folder),
        stops_at_errors=image.is_file(),
    )


def segment_files(
    job: SegmentationJob, *, on_frame: Callable[[str, int], None] = lambda name, frame: None
) -> Iterator[SegmentedFile]:
    """Segment file after file, and yield what became of each; the tables are written at the end.

    Args:
        job: As `plan_segmentation` returns it.
        on_frame: Called with the file's name and the frame, from 0, before each frame.

    Raises:
        FileNotFoundError, ValueError: The model is missing, damaged, or asked in a way that it
            does not answer; or the only file cannot be segmented.
    """
    config, rows = job.config, []
    options = ModelOptions(
        base=config.base, form=config.form, threads=config.threads, device=config.device
    )
    with opened_predictor(
        config.model, tracking_uri=config.tracking_uri, options=options
    ) as predictor:
        _check_question(job, predictor=predictor)
        try:
            for file in job.files:
                result = _segment_file(file, job=job, predictor=predictor, on_frame=on_frame)
                rows += result.rows
                yield result
        finally:  # an interrupted run keeps the lines of what it has written
            if rows:
                _write_tables(rows, job=job)


def tables_of(job: SegmentationJob) -> list[Path]:
    """Return the files that hold the masks of all images together."""
    names = {"coco": "predictions_coco.json", "measurements": "measurements.csv"}
    return [job.folder / name for kind, name in names.items() if kind in job.config.outputs]


def writable_folder(folder: Path) -> Path:
    """Make the folder, and raise before anything is computed if files cannot be written to it."""
    check_writable(folder)
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _write_tables(rows: Sequence[MaskRow], *, job: SegmentationJob) -> None:
    for path in tables_of(job):
        write = write_coco if path.suffix == ".json" else write_measurements
        write(rows, path)


def _pairs(points: Sequence[Sequence[float]]) -> Sequence[Sequence[float]]:
    for point in points:
        if len(point) != 2:
            raise ValueError(f"points: {list(point)} is not a pair [x, y]. Write [[x, y], ...].")
    return points


def _check_question(job: SegmentationJob, *, predictor: Predictor) -> None:
    """Raise for what no file could be segmented with."""
    if predictor.is_automatic and job.prompts:
        raise ValueError(
            "This model segments its categories by itself and takes no prompt: leave out "
            f"points, labels, box and prompts. It knows {', '.join(predictor.categories)}."
        )
    if not predictor.is_automatic and not job.prompts:
        check_prompt(Prompt(), (1, 1))  # raises, and says how a prompt is given


def _segment_file(
    file: FileToSegment,
    *,
    job: SegmentationJob,
    predictor: Predictor,
    on_frame: Callable[[str, int], None],
) -> SegmentedFile:
    result = SegmentedFile(path=file.path)
    try:
        opened = open_frames(file.path)
        scale = scale_of(file.path, opened)
        stacks: dict[str, list[np.ndarray]] = {}
        for index, frame in enumerate(opened.frames):
            on_frame(file.name, index)
            masks = _masks_of(frame, file=file, job=job, predictor=predictor)
            stem = file.stem if opened.num_frames == 1 else f"{file.stem}_{index:05d}"
            _write_frame(frame, masks, stem=stem, file=file, job=job, into=result)
            for name, mask in masks.items():
                result.rows.append(
                    _row(mask, file=file, index=index, name=name, job=job, scale=scale)
                )
                if "measurements" in job.config.outputs and scale.ends_before(mask):
                    result.notes.append(f"{file.path}, frame {index}: {name} {OUT_OF_REGIONS}.")
                if {"nifti", "dicom_seg"} & set(job.config.outputs):
                    stacks.setdefault(name, []).append(mask)
        _write_stacks(stacks, file=file, opened=opened, job=job, into=result)
    except (ValueError, OSError) as error:
        if job.stops_at_errors:
            raise
        return SegmentedFile(path=file.path, error=str(error))
    return result


def _masks_of(
    pixels: np.ndarray, *, file: FileToSegment, job: SegmentationJob, predictor: Predictor
) -> dict[str, np.ndarray]:
    """Return the mask of the prompt, or those of every category, by name."""
    pixels = read_image(pixels)  # refuses frames that are too small
    logits = _logits_of(pixels, file=file, job=job, predictor=predictor)
    return {
        name: threshold_logits(
            answer, image=f"image={file.path}", model=f"model={job.config.model}"
        )
        for name, answer in logits.items()
    }


def _logits_of(
    pixels: np.ndarray, *, file: FileToSegment, job: SegmentationJob, predictor: Predictor
) -> dict[str, np.ndarray]:
    if predictor.is_automatic:
        answers = predictor.predict_automatic([pixels])[0].logits
        return dict(zip(predictor.categories, answers, strict=True))
    prompt = job.prompts.get(file.name)
    if prompt is None:
        raise ValueError(f"{file.path}: prompts={job.config.prompts} does not name it.")
    check_prompt(prompt, (pixels.shape[0], pixels.shape[1]))
    return {"mask": predictor.predict([pixels], [[_question(prompt)]])[0][0]}


def _question(prompt: Prompt) -> ImagePrompt:
    labels = [1] * len(prompt.points) if prompt.labels is None else prompt.labels
    x0, y0, x1, y1 = prompt.box or (0, 0, 0, 0)
    return ImagePrompt(
        points=tuple((float(x), float(y)) for x, y in prompt.points),
        point_labels=tuple(labels),
        box=None if prompt.box is None else (float(x0), float(y0), float(x1), float(y1)),
    )


def _write_frame(
    pixels: np.ndarray,
    masks: dict[str, np.ndarray],
    *,
    stem: str,
    file: FileToSegment,
    job: SegmentationJob,
    into: SegmentedFile,
) -> None:
    start = job.folder / stem
    start.parent.mkdir(parents=True, exist_ok=True)
    for name, mask in masks.items():
        path = start.parent / stem_of_mask(start.name, name)
        if "png" in job.config.outputs:
            into.written.append(write_png(mask, path.with_name(f"{path.name}_mask.png")))
        if "overlay" in job.config.outputs:
            overlay = path.with_name(f"{path.name}_overlay.png")
            draw_overlay(pixels, mask, prompt=job.prompts.get(file.name, Prompt())).save(overlay)
            into.written.append(overlay)


def _row(
    mask: np.ndarray,
    *,
    file: FileToSegment,
    index: int,
    name: str,
    job: SegmentationJob,
    scale: PixelScale,
) -> MaskRow:
    wanted, measured = job.config.outputs, None
    if "measurements" in wanted:
        measured = measure_mask(mask, spacing_millimetres=scale.under(mask))
    return MaskRow(
        file=file.name,
        frame=index,
        name=name,
        size=(mask.shape[0], mask.shape[1]),
        num_pixels=int(mask.sum()),
        run_lengths=RunLength.from_mask(mask) if "coco" in wanted else None,
        measurement=measured,
    )


def _write_stacks(
    stacks: dict[str, list[np.ndarray]],
    *,
    file: FileToSegment,
    opened: FrameFile,
    job: SegmentationJob,
    into: SegmentedFile,
) -> None:
    """Write what holds all frames of a file; where a DICOM segmentation cannot be, write NIfTI."""
    start, spacing = job.folder / file.stem, opened.spacing_millimetres
    writes_nifti = "nifti" in job.config.outputs
    if "dicom_seg" in job.config.outputs:
        try:
            into.written.append(_write_segmentation(stacks, file=file, opened=opened, job=job))
        except ValueError as error:
            into.notes.append(f"{error}. NIfTI was written instead.")
            writes_nifti = True
    for name, frames in stacks.items() if writes_nifti else ():
        path = start.with_name(f"{stem_of_mask(start.name, name)}_mask.nii.gz")
        into.written.append(write_nifti(np.stack(frames), path, spacing_millimetres=spacing))


def _write_segmentation(
    stacks: dict[str, list[np.ndarray]],
    *,
    file: FileToSegment,
    opened: FrameFile,
    job: SegmentationJob,
) -> Path:
    if not opened.is_dicom or opened.num_frames != 1:
        raise ValueError(
            f"{file.path}: a DICOM segmentation is made of a DICOM file of one frame only "
            "(highdicom refuses several frames that have no place in space)"
        )
    start = job.folder / file.stem
    return write_dicom_seg(
        {name: frames[0] for name, frames in stacks.items()},
        start.with_name(f"{start.name}_seg.dcm"),
        source=file.path,
        spacing_millimetres=opened.spacing_millimetres,
        model=Path(job.config.model).name,
    )
