"""Prediction of folders, DICOM files and videos, and every kind of output."""

import csv
import json

import numpy as np
import pydicom
import pytest
import SimpleITK
from PIL import Image

from evaluation import PredictConfig
from launchers.command_line import run_command
from launchers.predict import predict
from shards import RunLength
from tests.support.dicom_files import Clip, region, save_clip
from tests.support.disc_deployable import write_disc_deployable

ULTRASOUND_IMAGE = "1.2.840.10008.5.1.4.1.1.6.1"
STILL = {
    "SOPClassUID": ULTRASOUND_IMAGE,
    "SeriesInstanceUID": "1.2.3.4",
    "PatientBirthDate": "19340228",
}


@pytest.fixture(scope="module")
def disc(tmp_path_factory):
    return write_disc_deployable(tmp_path_factory.mktemp("model") / "disc")


@pytest.fixture
def scans(tmp_path):
    folder = tmp_path / "scans"
    (folder / "below").mkdir(parents=True)
    Image.fromarray(noise(0)).save(folder / "a.png")
    Image.fromarray(noise(1)).save(folder / "below" / "b.jpg")
    (folder / "notes.txt").write_text("not an image")
    return folder


def noise(seed):
    return np.random.default_rng(seed).integers(0, 256, (40, 60), dtype=np.uint8)


def run(*words):
    return run_command(PredictConfig, predict, arguments=[str(word) for word in words])


def table(path):
    with path.open(newline="") as stream:
        return list(csv.DictReader(stream))


def test_a_folder_is_segmented_file_by_file_and_not_its_own_results(disc, scans, capsys):
    words = [f"model={disc}", f"image={scans}", f"output={scans / 'out'}", "points=[[30,20]]"]
    for _ in range(2):  # the second time the results lie in the folder, too
        assert run(*words) == 0
    written = sorted(
        path.relative_to(scans / "out").as_posix() for path in scans.glob("out/**/*.png")
    )
    assert written == [
        "a_mask.png", "a_overlay.png", "below/b_mask.png", "below/b_overlay.png"
    ]  # fmt: skip
    assert "notes.txt" not in capsys.readouterr().out


def test_bad_files_are_listed_at_the_end_and_the_others_are_segmented(
    disc, scans, tmp_path, capsys
):
    (scans / "text.png").write_text("this is text")
    whole = (scans / "a.png").read_bytes()
    (scans / "corrupt.png").write_bytes(whole[: len(whole) // 2])
    Image.new("L", (1, 1)).save(scans / "dot.png")
    Image.new("P", (40, 40)).save(scans / "z_palette.png")
    Image.fromarray(noise(2).astype(np.uint16) * 257).save(scans / "z_deep.png")
    frames = [Image.fromarray(noise(seed)) for seed in range(2)]
    frames[0].save(scans / "animated.png", save_all=True, append_images=frames[1:])
    save_clip(scans / "no_pixels.dcm", Clip(frames=[noise(0)]))
    content = pydicom.dcmread(scans / "no_pixels.dcm")
    del content.PixelData, content.Rows, content.Columns
    content.save_as(scans / "no_pixels.dcm")
    words = ["points=[[30,20]]", "outputs=[png,measurements]", f"output={tmp_path / 'out'}"]
    assert run(f"model={disc}", f"image={scans}", *words) == 1
    said = capsys.readouterr().out
    listed = said[said.index("5 of 9 files could not be segmented") :].splitlines()[1:]
    for name, reason in [
        ("animated.png", "holds 2 frames"),
        ("corrupt.png", "cannot be read as an image"),
        ("dot.png", "1 x 1 pixels"),
        ("no_pixels.dcm", "holds no image"),
        ("text.png", "cannot be read as an image"),
    ]:
        assert sum(name in line and reason in line for line in listed) == (name != "dot.png")
    assert any("1 x 1 pixels" in line for line in listed)
    done = {row["file"] for row in table(tmp_path / "out" / "measurements.csv")}
    assert done == {"a.png", "below/b.jpg", "z_palette.png", "z_deep.png"}


def test_each_file_has_its_own_prompt(disc, scans, tmp_path):
    prompts = tmp_path / "prompts.csv"
    prompts.write_text("file,x,y,label\na.png,10,10,1\nbelow/b.jpg,50,30,1\n")
    out = tmp_path / "out"
    words = [f"model={disc}", f"image={scans}", f"prompts={prompts}", f"output={out}"]
    assert run(*words) == 0
    first = np.asarray(Image.open(out / "a_mask.png"))
    second = np.asarray(Image.open(out / "below" / "b_mask.png"))
    assert (first[10, 10], first[30, 50]) == (255, 0)
    assert (second[10, 10], second[30, 50]) == (0, 255)


@pytest.mark.parametrize(
    ("words", "prompts", "message"),
    [
        ([], "file,x,y\nnone.png,1,2\n", "names 'none.png', which is not among the 2 files"),
        (["points=[[1,2]]"], "file,x,y\na.png,1,2\n", "leave out points, labels and box"),
        (["outputs=[]"], "file,x,y\na.png,1,2\n", "outputs is empty"),
        (["outputs=[jpeg]"], "file,x,y\na.png,1,2\n", "jpeg"),
    ],
)
def test_a_mistake_about_many_files_gets_one_line(
    disc, scans, tmp_path, capsys, words, prompts, message
):
    path = tmp_path / "prompts.csv"
    path.write_text(prompts)
    defaults = [f"model={disc}", f"image={scans}", f"prompts={path}", f"output={tmp_path / 'out'}"]
    assert run(*defaults, *words) == 2
    error = capsys.readouterr().err
    assert message in error
    assert len(error.splitlines()) == 1


def test_a_file_without_a_prompt_is_listed(disc, scans, tmp_path, capsys):
    path = tmp_path / "prompts.json"
    path.write_text(json.dumps({"a.png": {"points": [[10, 10]]}}))
    words = [f"image={scans}", f"prompts={path}", f"output={tmp_path / 'out'}"]
    assert run(f"model={disc}", *words) == 1
    assert "b.jpg: prompts=" in capsys.readouterr().out


def test_a_folder_with_nothing_to_segment_is_refused(disc, tmp_path, capsys):
    assert run(f"model={disc}", f"image={tmp_path}", "points=[[1,1]]", "output=out") == 2
    assert "no picture, DICOM file or video in this folder" in capsys.readouterr().err


def test_a_dicom_still_keeps_its_spacing_in_every_output(disc, tmp_path):
    scan, out = tmp_path / "still", tmp_path / "out"  # known by content, whatever its name
    still = Clip(frames=[noise(0)], regions=[region(0, 0, 59, 39)], header=STILL)
    save_clip(scan, still)
    outputs = "outputs=[png,coco,nifti,dicom_seg,measurements]"
    words = [f"model={disc}", f"image={scan}", "points=[[30,20]]", f"output={out}", outputs]
    assert run(*words) == 0
    mask = np.asarray(Image.open(out / "still_mask.png")) > 0

    volume = SimpleITK.ReadImage(str(out / "still_mask.nii.gz"))
    assert volume.GetSpacing()[:2] == pytest.approx((0.2, 0.4))
    assert np.array_equal(SimpleITK.GetArrayFromImage(volume), mask[None])

    segmentation = pydicom.dcmread(out / "still_seg.dcm")
    assert np.array_equal(segmentation.pixel_array, mask)
    measures = segmentation.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0]
    assert list(measures.PixelSpacing) == pytest.approx([0.4, 0.2])
    referenced = segmentation.ReferencedSeriesSequence[0].ReferencedInstanceSequence[0]
    assert referenced.ReferencedSOPInstanceUID == still.instance

    (row,) = table(out / "measurements.csv")
    assert (row["file"], row["frame"], row["name"], row["unit"]) == ("still", "0", "mask", "mm")
    assert float(row["area"]) == pytest.approx(mask.sum() * 0.08, rel=1e-3)
    height, width = (0.4 * mask.any(axis=1).sum(), 0.2 * mask.any(axis=0).sum())
    assert float(row["longest_diameter"]) == pytest.approx(max(height, width), rel=0.1)
    assert float(row["shortest_diameter"]) == pytest.approx(min(height, width), rel=0.1)

    coco = json.loads((out / "predictions_coco.json").read_text())
    (annotation,) = coco["annotations"]
    assert coco["images"][0] | {"id": 0} == {
        "id": 0, "file_name": "still", "frame": 0, "height": 40, "width": 60
    }  # fmt: skip
    assert np.array_equal(RunLength.from_json(annotation["segmentation"]).mask(), mask)
    left, top, width, height = annotation["bbox"]
    assert mask[top : top + height, left : left + width].sum() == mask.sum() == annotation["area"]


def test_a_clip_gets_nifti_and_a_word_where_a_segmentation_was_asked_for(disc, tmp_path, capsys):
    clip, out = tmp_path / "clip.dcm", tmp_path / "out"
    save_clip(clip, Clip(frames=[noise(seed) for seed in range(3)]))
    words = ["points=[[30,20]]", "outputs=[png,dicom_seg,measurements]", f"output={out}"]
    assert run(f"model={disc}", f"image={clip}", *words) == 0
    said = capsys.readouterr().out
    assert "highdicom refuses several frames" in said
    assert "NIfTI was written instead" in said
    volume = SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(str(out / "clip_mask.nii.gz")))
    assert volume.shape == (3, 40, 60)
    assert np.array_equal(volume[2] > 0, np.asarray(Image.open(out / "clip_00002_mask.png")) > 0)
    assert not list(out.glob("*.dcm"))
    rows = table(out / "measurements.csv")
    assert [(row["frame"], row["unit"]) for row in rows] == [("0", "px"), ("1", "px"), ("2", "px")]


def test_regions_of_two_scales_are_measured_in_pixels(disc, tmp_path):
    regions = [region(0, 0, 29, 39), region(30, 0, 59, 39, centimetres=0.05)]
    save_clip(tmp_path / "two.dcm", Clip(frames=[noise(0)], regions=regions))
    words = ["points=[[30,20]]", "outputs=[measurements]", f"output={tmp_path / 'out'}"]
    assert run(f"model={disc}", f"image={tmp_path / 'two.dcm'}", *words) == 0
    assert table(tmp_path / "out" / "measurements.csv")[0]["unit"] == "px"


def test_a_mask_out_of_the_ultrasound_region_is_measured_in_pixels_and_the_command_says_so(
    disc, tmp_path, capsys
):
    header: dict[str, object] = {}
    still = Clip(frames=[noise(0)], regions=[region(20, 0, 59, 39)], header=header)
    save_clip(tmp_path / "still.dcm", still)
    words = [f"model={disc}", f"image={tmp_path / 'still.dcm'}", f"output={tmp_path / 'out'}"]
    for x, unit in [(40, "mm"), (22, "px")]:
        assert run(*words, f"points=[[{x},20]]", "outputs=[measurements]") == 0
        (row,) = table(tmp_path / "out" / "measurements.csv")
        assert (row["unit"], row["area"] == row["pixels"]) == (unit, unit == "px")
        said = " ".join(capsys.readouterr().out.split())
        assert ("mask reaches out of the ultrasound regions" in said) == (unit == "px")
    header["PixelSpacing"] = [0.4, 0.2]  # of the whole image
    save_clip(tmp_path / "still.dcm", still)
    assert run(*words, "points=[[22,20]]", "outputs=[measurements]") == 0
    assert table(tmp_path / "out" / "measurements.csv")[0]["unit"] == "mm"


def test_a_coloured_dicom_still_gets_a_segmentation_too(disc, tmp_path):
    colours = np.random.default_rng(0).integers(0, 256, (40, 60, 3), dtype=np.uint8)
    scan, out = tmp_path / "colour.dcm", tmp_path / "out"
    still = Clip(frames=[colours], header=STILL)
    save_clip(scan, still)
    words = ["points=[[30,20]]", "outputs=[png,dicom_seg]", f"output={out}"]
    assert run(f"model={disc}", f"image={scan}", *words) == 0
    mask = np.asarray(Image.open(out / "colour_mask.png")) > 0
    segmentation = pydicom.dcmread(out / "colour_seg.dcm")
    assert np.array_equal(segmentation.pixel_array, mask)
    assert segmentation.PhotometricInterpretation == "MONOCHROME2"
    referenced = segmentation.ReferencedSeriesSequence[0].ReferencedInstanceSequence[0]
    assert referenced.ReferencedSOPInstanceUID == still.instance


def test_a_video_is_segmented_frame_by_frame(disc, tmp_path, capsys):
    av = pytest.importorskip("av", reason="av is not installed; the formats extra brings it.")
    video = tmp_path / "clip.avi"
    with av.open(str(video), mode="w") as container:
        stream = container.add_stream("mjpeg", rate=10)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuvj444p"
        for seed in range(4):
            frame = av.VideoFrame.from_ndarray(np.full((48, 64, 3), 50 * seed, np.uint8))
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    out = tmp_path / "out"
    words = [f"model={disc}", f"image={video}", "points=[[30,20]]", f"output={out}"]
    assert run(*words) == 0
    assert "4 of 4 masks are not empty, 8 files" in capsys.readouterr().out
    assert len(list(out.glob("clip_0000?_mask.png"))) == 4
    video.write_bytes(b"no video")
    assert run(*words) == 2
    assert "cannot be decoded as a video" in capsys.readouterr().err
