import shutil
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import pytest
from pydicom import dcmread
from pydicom.data import get_testdata_file
from pydicom.pixels import pixel_array
from pydicom.uid import MPEG4HP41

from shards import BuildConfig, DicomConfig, build_corpora, open_corpus
from shards.build_report import BuildReport
from shards.reading import RawFile, read_dicom_frame
from shards.sources.dicom import plan_dicom
from tests.support.dicom_files import (
    BIRTH_DATE,
    PATIENT_ID,
    PATIENT_NAME,
    Clip,
    region,
    save_clip,
    save_segmentation,
)
from tests.support.own_data import save
from tests.support.source_reading import Read, area, read_config

ROWS, COLUMNS = 40, 60
TISSUE = (slice(8, 36), slice(10, 54))
"""Rows and columns of the region that the header tells."""

WHOLE = region(10, 8, 53, 35)
NODULE = np.zeros((ROWS, COLUMNS), dtype=bool)
NODULE[12:24, 20:36] = True


@pytest.fixture
def salt(tmp_path: Path) -> str:
    path = tmp_path / "salt"
    path.write_text("a secret of this test")
    return str(path)


def frame(seed: int) -> np.ndarray:
    """Return speckle in the region, and text (all white) burned in above it."""
    pixels = np.zeros((ROWS, COLUMNS), dtype=np.uint8)
    pixels[TISSUE] = np.random.default_rng(seed).integers(0, 200, (28, 44))
    pixels[2:6, 10:50] = 255
    return pixels


def config(root: Path, salt: str | None, **options) -> BuildConfig:
    given = {"name": "clinic", "categories": {"nodule": "thyroid_nodule"}, **options}
    return BuildConfig(
        source="dicom",
        root=str(root),
        output=str(root.parent / "out"),
        dicom=DicomConfig(**given, salt_file=salt),
    )


def read(root: Path, salt: str, **options) -> Read:
    return read_config(config(root, salt, **options))


def save_case(root: Path, *, name: str = "IM0001", **fields) -> Clip:
    """Write a clip of three frames, and a segmentation of the first and the last."""
    frames = [frame(number) for number in range(3)]
    clip = save_clip(root / name, Clip(**{"frames": frames, "regions": [WHOLE], **fields}))
    num_frames = len(clip.frames)
    masks = {("Nodule", place): NODULE for place in sorted({0, num_frames - 1})}
    save_segmentation(root / f"{name}.seg.dcm", of=clip, masks=masks)
    return clip


@pytest.mark.parametrize("compression", ["", "rle", "jpeg"])
def test_frames_are_cropped_to_the_region_and_have_its_spacing(tmp_path, salt, compression):
    save_case(tmp_path / "raw", compression=compression)
    found = read(tmp_path / "raw", salt)
    assert found.problems == ""
    first, last = found.samples.values()
    assert (first.origin.frame, last.origin.frame) == (0, 2)
    assert first.origin.sequence == last.origin.sequence
    assert first.origin.spacing_millimetres == (0.4, 0.2)
    difference = np.abs(last.image.astype(int) - frame(2)[TISSUE])
    assert difference.max() == 0 if compression != "jpeg" else difference.mean() < 8
    assert np.array_equal(last.objects[0].mask(), NODULE[TISSUE])
    assert found.report.notes["frames without a mask, left out"] == 1


def test_pixels_outside_the_regions_can_be_made_black_or_kept(tmp_path, salt):
    save_case(tmp_path / "raw")
    black = next(iter(read(tmp_path / "raw", salt, outside="black").samples.values()))
    kept = next(iter(read(tmp_path / "raw", salt, outside="keep").samples.values()))
    assert black.size == kept.size == (ROWS, COLUMNS)
    assert black.image[TISSUE].any()
    assert not black.image[:8].any()
    assert np.array_equal(kept.image, frame(0))
    assert np.array_equal(black.objects[0].mask(), NODULE)


def test_frames_that_nobody_marked_can_be_taken_too(tmp_path, salt):
    save_case(tmp_path / "raw")
    found = read(tmp_path / "raw", salt, frames="all")
    assert [area(one) for one in found.samples.values()] == [192, 0, 192]


def test_no_identifier_is_in_any_byte_that_a_build_writes(tmp_path, salt):
    clips = [
        save_case(tmp_path / f"raw/{PATIENT_NAME}", name=f"{PATIENT_ID}-{number}", study="1.2.3.99")
        for number in range(2)
    ]
    options = config(tmp_path / "raw", salt, frames="all")
    options.test_fraction = options.validation_fraction = 0.0
    build_corpora(options)
    corpus = open_corpus(f"{tmp_path}/out/train")
    assert (corpus.num_samples, corpus.manifest.sources[0].num_subjects) == (6, 1)
    written = [path for path in (tmp_path / "out").rglob("*") if path.is_file()]
    content = b"".join(path.name.encode() + path.read_bytes() for path in written).lower()
    assert b"clinic__" in content
    secrets = [PATIENT_NAME, *PATIENT_NAME.split("^"), PATIENT_ID, BIRTH_DATE, "1.2.3.99", "im0001"]
    for secret in [*secrets, salt, *(clip.instance for clip in clips)]:
        assert secret.lower().encode() not in content, secret
        assert secret.replace(".", "-").lower().encode() not in content, secret


def test_patients_stay_together_and_the_study_stands_in_where_none_is_named(tmp_path, salt):
    for name, patient, study in (
        ("a", "P1", "1.2.1"), ("b", "P1", "1.2.2"), ("c", "", "1.2.3"), ("d", "", "1.2.3"),
    ):  # fmt: skip
        save_case(tmp_path / "raw", name=name, patient=patient, study=study, frames=[frame(1)])
    samples = read(tmp_path / "raw", salt).samples.values()
    subjects = [one.origin.subject for one in samples]
    assert sorted(map(subjects.count, subjects)) == [2, 2, 2, 2]
    assert all(one.origin.subject_is_known and one.origin.frame is None for one in samples)
    by_file = read(tmp_path / "raw", salt, subject=r"^(\w)\b").samples.values()
    assert len({one.origin.subject for one in by_file}) == 4


def test_mask_pictures_are_paired_with_frames_by_pattern(tmp_path, salt):
    clip = Clip(frames=[frame(0), frame(1)], regions=[WHOLE])
    save_clip(tmp_path / "raw/scans/a.dcm", clip)
    save(tmp_path / "raw/masks/a_1_nodule.png", NODULE.astype(np.uint8) * 255)
    patterns = {"images": "scans/{name}.dcm", "masks": "masks/{name}_{frame}_{category}.png"}
    found = read(tmp_path / "raw", salt, **patterns)
    assert found.problems == ""
    [sample] = found.samples.values()
    assert sample.origin.frame == 1
    assert np.array_equal(sample.objects[0].mask(), NODULE[TISSUE])
    save(tmp_path / "raw/masks/a_2_nodule.png", NODULE.astype(np.uint8) * 255)
    assert "has the frames 0 to 1, and the mask's path says 2" in (
        read(tmp_path / "raw", salt, **patterns).problems
    )


def test_colour_palettes_inverted_grey_and_deep_grey_become_eight_bits(tmp_path, salt):
    colour = np.stack([frame(1), frame(2), frame(3)], axis=-1)
    entries = np.arange(256, dtype=np.uint16)
    palette: dict[str, Any] = {"PhotometricInterpretation": "PALETTE COLOR"}
    for name, values in (("Red", entries), ("Green", entries[::-1]), ("Blue", entries)):
        palette[f"{name}PaletteColorLookupTableDescriptor"] = [256, 0, 16]
        palette[f"{name}PaletteColorLookupTableData"] = (values * 256).tobytes()
    deep = frame(1).astype(np.uint16) * 16
    kinds = {
        "colour": Clip(frames=[colour], regions=[WHOLE], compression="rle"),
        "palette": Clip(frames=[frame(1)], regions=[WHOLE], header=palette),
        "inverted": Clip(
            frames=[255 - frame(1)],
            regions=[WHOLE],
            header={"PhotometricInterpretation": "MONOCHROME1"},
        ),
        "deep": Clip(frames=[deep], regions=[WHOLE], header={"BitsStored": 12, "HighBit": 11}),
    }
    images = {}
    for name, clip in kinds.items():
        save_clip(tmp_path / name / "a.dcm", clip)
        [sample] = read(tmp_path / name, salt, without_mask="keep").samples.values()
        images[name] = sample.image
    expected = frame(1)[TISSUE]
    assert np.array_equal(images["colour"], colour[TISSUE])
    assert np.array_equal(images["palette"][..., 1], 255 - expected)
    assert np.array_equal(images["palette"][..., 0], expected)
    assert np.array_equal(images["inverted"], expected)
    assert np.corrcoef(images["deep"].ravel(), expected.ravel())[0, 1] > 0.99


def test_regions_of_traces_are_left_and_spacing_that_differs_is_not_guessed(tmp_path, salt):
    halves = [region(10, 8, 31, 35), region(32, 8, 53, 35, centimetres=0.05)]
    trace = region(0, 36, 59, 39, kind=2)
    save_case(tmp_path / "raw", regions=[*halves, trace])
    found = read(tmp_path / "raw", salt)
    assert {one.size for one in found.samples.values()} == {(28, 44)}
    assert {one.origin.spacing_millimetres for one in found.samples.values()} == {None}
    assert sum("differ in spacing" in note for note in found.report.notes) == 1


def test_an_image_without_regions_is_refused_until_its_place_is_given(tmp_path, salt):
    save_case(tmp_path / "raw", regions=[], header={"PixelSpacing": [0.3, 0.1]})
    problems = read(tmp_path / "raw", salt).problems
    assert "IM0001: has no SequenceOfUltrasoundRegions" in problems
    assert "dicom.region=[x0,y0,x1,y1]" in problems
    sample = next(iter(read(tmp_path / "raw", salt, region=[10, 8, 53, 35]).samples.values()))
    assert np.array_equal(sample.image, frame(0)[TISSUE])
    assert sample.origin.spacing_millimetres == (0.3, 0.1)


def test_regions_of_an_image_that_was_resized_are_not_believed(tmp_path, salt):
    save_case(tmp_path / "raw", regions=[region(20, 16, 107, 71)])
    assert "it was resized or cut" in read(tmp_path / "raw", salt).problems
    found = read(tmp_path / "raw", salt, region=[10, 8, 53, 35])
    sample = next(iter(found.samples.values()))
    assert np.array_equal(sample.image, frame(0)[TISSUE])
    assert sample.origin.spacing_millimetres is None
    assert any("spacing is left open" in note for note in found.report.notes)


def test_a_real_clip_of_a_machine_is_decoded_as_pydicom_does(tmp_path, salt):
    path = str(get_testdata_file("examples_ybr_color.dcm", download=False))
    (tmp_path / "raw").mkdir()
    shutil.copy(path, tmp_path / "raw/clip")
    assert "it was resized or cut" in read(tmp_path / "raw", salt, without_mask="keep").problems
    planned = plan_dicom(
        config(tmp_path / "raw", salt, without_mask="keep", outside="keep"), BuildReport()
    ).samples
    assert len(planned) == 30
    assert np.array_equal(planned[7].read().image, pixel_array(path, index=7))


def test_a_mask_that_reaches_out_of_the_region_is_cut_and_counted(tmp_path, salt):
    clip = save_clip(tmp_path / "raw/a", Clip(frames=[frame(0)], regions=[WHOLE]))
    mask = np.zeros_like(NODULE)
    mask[4:12, 20:30] = True
    save_segmentation(tmp_path / "raw/b", of=clip, masks={("nodule", 0): mask}, names_frames=False)
    found = read(tmp_path / "raw", salt)
    assert [area(one) for one in found.samples.values()] == [40]
    assert found.report.notes["masks that reach out of the regions, cut off"] == 1


def test_what_is_wrong_with_segmentations_is_told_together(tmp_path, salt):
    root = tmp_path / "raw"
    clip = save_case(root, name="fine")
    lost = Clip(frames=[frame(9)])
    save_segmentation(root / "lost", of=lost, masks={("Nodule", 0): NODULE})
    save_segmentation(root / "strange", of=clip, masks={("Cyst", 0): NODULE})
    save_segmentation(root / "late", of=clip, masks={("Nodule", 7): NODULE})
    save_segmentation(root / "open", of=clip, masks={("Nodule", 0): NODULE}, names_frames=False)
    save_segmentation(root / "small", of=clip, masks={("Nodule", 1): NODULE[::2]})
    (root / "no.dcm").write_bytes(b"nothing of the kind")
    problems = read(root, salt).problems
    assert f"lost: outlines the image {lost.instance}" in problems
    assert "strange: shows the class 'Cyst'" in problems
    assert "late: its frame 1 outlines no frame of" in problems
    assert "open: its frame 1 outlines no frame of" in problems
    assert "small: the mask is 20 x 60 pixels, the image is 40 x 60" in problems
    assert "no.dcm: does not begin as a DICOM file does" in problems


def test_a_compression_that_nothing_decodes_is_told_with_the_file(tmp_path, salt):
    save_clip(tmp_path / "raw/a", Clip(frames=[frame(1)], regions=[WHOLE], compression="jpeg"))
    dataset = dcmread(tmp_path / "raw/a")
    dataset.file_meta.TransferSyntaxUID = MPEG4HP41
    dataset.save_as(tmp_path / "raw/film.dcm")
    (tmp_path / "raw/a").unlink()
    problems = read(tmp_path / "raw", salt, without_mask="keep").problems
    assert "film.dcm: cannot be read as DICOM" in problems
    assert "MPEG-4" in problems
    assert "export it uncompressed" in problems


def test_a_lossless_jpeg_file_of_another_maker_gives_the_pixels_of_the_plain_one():
    pytest.importorskip("gdcm", reason="of the extra `formats`, decodes JPEG-LS")
    plain, packed = (
        read_dicom_frame(
            RawFile(path=PurePosixPath(name), location=Path(str(path)), stamp=""), frame=0
        )[0]
        for name in ("MR_small.dcm", "MR_small_jpeg_ls_lossless.dcm")
        for path in [get_testdata_file(name, download=False)]
    )
    assert np.array_equal(plain, packed)


def test_a_truncated_clip_is_told_with_its_file(tmp_path, salt):
    save_case(tmp_path / "raw", compression="rle")
    path = tmp_path / "raw/IM0001"
    path.write_bytes(path.read_bytes()[:-2500])
    assert "IM0001: cannot be read as DICOM" in read(tmp_path / "raw", salt).problems


def test_other_modalities_and_one_image_in_two_files_are_told(tmp_path, salt):
    clip = save_case(tmp_path / "raw")
    save_clip(tmp_path / "raw/copy", clip)
    save_clip(tmp_path / "raw/ct", Clip(frames=[frame(1)], header={"Modality": "CT"}))
    found = read(tmp_path / "raw", salt)
    assert found.report.problems_by_kind() == {"two files with one name": 1}
    assert found.report.notes["DICOM files that hold no ultrasound image, left out"] == 1


def test_images_that_nothing_outlines_are_refused_here_or_by_the_build(tmp_path, salt):
    save_clip(tmp_path / "raw/a", Clip(frames=[frame(1)], regions=[WHOLE]))
    assert read(tmp_path / "raw", salt).report.problems_by_kind() == {"image without a mask": 1}
    options = config(tmp_path / "raw", salt, without_mask="keep")
    options.test_fraction = options.validation_fraction = 0.0
    with pytest.raises(ValueError, match="not one of 1 training images has an object"):
        build_corpora(options)


def test_without_a_secret_nothing_is_read(tmp_path):
    with pytest.raises(ValueError, match=r"source=dicom needs dicom\.salt_file=FILE"):
        read_config(config(tmp_path / "raw", None))
    with pytest.raises(ValueError, match=r"dicom\.region=\[5, 0, 3, 9\]"):
        DicomConfig(region=[5, 0, 3, 9])
