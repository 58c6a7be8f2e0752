"""What is written appears whole or not at all, and a full disk is one clear error."""

import pytest

from model import build_segmenter, write_encoder, write_flattened, written_aside
from model.weights_conversion import write_published
from tests.support.unwritable import as_an_ordinary_user, full_disk


@pytest.mark.parametrize(
    ("write", "name"),
    [
        (write_flattened, "own"),
        (write_encoder, "encoder"),
        (lambda segmenter, path: write_published(segmenter, path, layout="sam"), "sam.pth"),
        (lambda segmenter, path: write_published(segmenter, path, layout="sam"), "sam.safetensors"),
    ],
)
def test_weights_that_find_no_room_leave_nothing_and_say_so(write, name, tmp_path):
    segmenter = build_segmenter("sam_tiny")
    message = f"{name}: could not be written: there is no room on the disk. Make room"
    with full_disk(num_bytes=10_000), pytest.raises(OSError, match=message):
        write(segmenter, tmp_path / name)
    assert list(tmp_path.iterdir()) == []
    write(segmenter, tmp_path / name)
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_a_folder_that_may_not_be_written_is_named_with_the_reason(tmp_path):
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o555)
    segmenter = build_segmenter("sam_tiny")
    with as_an_ordinary_user(tmp_path), pytest.raises(OSError, match="Permission denied") as found:
        write_flattened(segmenter, closed / "own")
    assert f"{closed / 'own'}: could not be written" in str(found.value)
    assert list(closed.iterdir()) == []


def fail_half_way(path):
    with written_aside(path) as aside:
        aside.write_text("half")
        raise ValueError("of ours")


def test_an_error_of_another_kind_stays_as_it_is_and_leaves_nothing(tmp_path):
    with pytest.raises(ValueError, match="of ours"):
        fail_half_way(tmp_path / "new")
    assert list(tmp_path.iterdir()) == []


def test_what_an_earlier_attempt_left_is_replaced(tmp_path):
    (tmp_path / "new.partial").mkdir()
    (tmp_path / "new").write_text("old")
    with written_aside(tmp_path / "new") as aside:
        aside.write_text("new")
        assert (tmp_path / "new").read_text() == "old"
    assert (tmp_path / "new").read_text() == "new"
    assert [path.name for path in tmp_path.iterdir()] == ["new"]
