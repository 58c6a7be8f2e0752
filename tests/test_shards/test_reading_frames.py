"""Volumes, videos and arrays, read frame by frame."""

from pathlib import Path, PurePosixPath

import h5py
import numpy as np
import pytest

from shards.reading import (
    RawFile,
    annotated_frames,
    hdf5_column,
    hdf5_frame,
    num_entries_of,
    num_frames_of,
    open_video,
    read_array,
    read_volume,
)
from tests.support.source_trees_pictures import SIZE, block, nothing, picture
from tests.support.source_trees_volumes import save_video, save_volume


def _file(path: Path) -> RawFile:
    status = path.stat()
    stamp = f"{status.st_size} {status.st_mtime_ns}"
    return RawFile(path=PurePosixPath(path.name), location=path, stamp=stamp)


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz", ".mha"])
def test_a_volume_has_its_frames_first_and_8_bits_stay_as_they_are(tmp_path, suffix):
    values = np.stack([picture(frame) for frame in range(3)])
    save_volume(tmp_path / f"v{suffix}", values=values, spacing=(0.2, 0.3, 1.5))
    file = _file(tmp_path / f"v{suffix}")
    assert num_frames_of(file) == 3
    volume = read_volume(file)
    pixels, window = volume.as_8_bits()
    assert np.array_equal(pixels, values)
    assert window is None
    assert volume.spacing_millimetres == pytest.approx((1.5, 0.3, 0.2))


def test_a_volume_of_more_than_8_bits_has_one_window_for_all_frames(tmp_path):
    values = np.stack([np.full(SIZE, 1000 * frame, dtype=np.int16) for frame in range(3)])
    save_volume(tmp_path / "v.mha", values=values)
    pixels, window = read_volume(_file(tmp_path / "v.mha")).as_8_bits()
    assert window == (0.0, 2000.0)
    assert [int(frame.mean()) for frame in pixels] == [0, 128, 255]


def test_spacing_that_nobody_set_is_unknown(tmp_path):
    save_volume(tmp_path / "v.mha", values=np.stack([picture(0)]))
    assert read_volume(_file(tmp_path / "v.mha")).spacing_millimetres is None


def test_frames_without_marks_and_stray_pixels_are_not_annotated(tmp_path):
    stray = nothing()
    stray[3, 3] = True
    labels = np.stack([nothing(), block(1), stray]).astype(np.uint8)
    save_volume(tmp_path / "v.mha", values=labels)
    file = _file(tmp_path / "v.mha")
    assert annotated_frames(file) == (1, 2)
    assert annotated_frames(file, min_fraction=0.025) == (1,)


@pytest.mark.parametrize("name", ["v.nii.gz", "v.mha", "v.avi", "v.npy", "v.h5"])
def test_a_damaged_file_is_named_with_what_to_do(tmp_path, name):
    path = tmp_path / name
    path.write_bytes(b"no such format")
    file = _file(path)
    readers = {
        "v.avi": lambda: open_video(file).frame(0),
        "v.npy": lambda: read_array(file),
        "v.h5": lambda: hdf5_frame(file, name="image", index=0, names=("image",)),
    }
    with pytest.raises(ValueError, match=r"v\..*Fetch the file again"):
        readers.get(name, lambda: read_volume(file))()


@pytest.mark.parametrize(
    "content", [b"", b"\x93NUMPY\x09\x00", b"\x93NUMPY\x01\x00\x10\x00{'shape"]
)
def test_a_damaged_header_of_an_array_is_named_with_what_to_do(tmp_path, content):
    (tmp_path / "v.npy").write_bytes(content)
    with pytest.raises(ValueError, match=r"v\.npy: .*Fetch the file again"):
        num_entries_of(_file(tmp_path / "v.npy"))


def test_frames_of_a_video_can_be_asked_for_in_any_order(tmp_path):
    values = [picture(frame) for frame in range(4)]
    save_video(tmp_path / "v.avi", frames=values)
    video = open_video(_file(tmp_path / "v.avi"))
    for frame in (2, 2, 3, 0, 1):
        assert np.array_equal(video.frame(frame), values[frame])
    with pytest.raises(ValueError, match="ends after 4 frames, but frame 4"):
        video.frame(4)
    assert np.array_equal(video.frame(1), values[1])


@pytest.mark.parametrize("decoded_before", [False, True])
def test_a_frame_before_the_first_is_refused_and_not_counted_from_the_end(tmp_path, decoded_before):
    save_video(tmp_path / "v.avi", frames=[picture(frame) for frame in range(3)])
    video = open_video(_file(tmp_path / "v.avi"))
    if decoded_before:
        video.frame(2)
    with pytest.raises(ValueError, match=r"v\.avi: frame -1 is annotated, but .* from 0"):
        video.frame(-1)


def test_frames_of_an_array_are_counted_from_its_header_alone(tmp_path):
    path = tmp_path / "a.npy"
    np.save(path, np.zeros((7, *SIZE)))
    path.write_bytes(path.read_bytes()[:200])
    assert num_entries_of(_file(path)) == 7
    with pytest.raises(ValueError, match=r"a\.npy: is no plain numpy array"):
        read_array(_file(path))
    np.save(path, np.float32(1.0))
    with pytest.raises(ValueError, match=r"a\.npy: holds one value, not frames"):
        num_entries_of(_file(path))


def test_an_array_of_objects_is_not_unpickled(tmp_path):
    np.save(tmp_path / "a.npy", np.array([{"a": 1}], dtype=object))
    with pytest.raises(ValueError, match="no plain numpy array"):
        read_array(_file(tmp_path / "a.npy"))
    np.save(tmp_path / "b.npy", np.zeros((5, 2)))
    assert num_entries_of(_file(tmp_path / "b.npy")) == 5


def test_hdf5_arrays_of_unequal_length_or_of_another_name_are_refused(tmp_path):
    with h5py.File(tmp_path / "d.h5", "w") as opened:
        opened["image"] = np.zeros((3, *SIZE), dtype=np.uint8)
        opened["mask"] = np.zeros((2, *SIZE), dtype=np.uint8)
        opened["annot_id"] = [b"12_", b"12_", b"7_"]
    file = _file(tmp_path / "d.h5")
    names = ("image", "annot_id")
    assert hdf5_column(file, name="annot_id", names=names).tolist() == ["12_", "12_", "7_"]
    for wrong in (("image", "mask"), ("image", "label")):
        with pytest.raises(ValueError, match="of one length; found"):
            hdf5_frame(file, name="image", index=0, names=wrong)
