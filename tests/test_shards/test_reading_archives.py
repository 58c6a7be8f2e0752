"""Archives of raw datasets: read in place, unpacked aside, and never trusted."""

import io
import pickle
import stat
import tarfile
import zipfile
from pathlib import Path

import h5py
import numpy as np
import py7zr
import pytest

from shards.build_report import BuildReport
from shards.reading import RawFile, RawTree, archives, hdf5_frame, open_tree


def _open(root: Path) -> RawTree:
    return open_tree(root, report=BuildReport())


def _write_zip(path: Path, *, members: dict[str, bytes]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


def _write_tar(path: Path, *, member: tarfile.TarInfo, content: bytes = b"") -> Path:
    with tarfile.open(path, "w:gz") as archive:
        member.size = len(content)
        archive.addfile(member, io.BytesIO(content))
    return path


def _contents(tree: RawTree) -> dict[str, bytes]:
    return {str(file.path): file.read_bytes() for file in tree.files}


def test_a_zip_in_a_zip_counts_as_folders_of_their_names(tmp_path):
    inner = _write_zip(tmp_path / "inner/Benign.zip", members={"image/1.jpg": b"one"})
    outer = tmp_path / "raw/AUL.zip"
    _write_zip(outer, members={"Benign.zip": inner.read_bytes(), "readme.txt": b"text"})
    assert _contents(_open(tmp_path / "raw")) == {
        "AUL.zip/Benign.zip/image/1.jpg": b"one",
        "AUL.zip/readme.txt": b"text",
    }


def test_an_archive_may_be_the_root_itself(tmp_path):
    path = _write_zip(tmp_path / "BUSI.zip", members={"a/1.png": b"one"})
    assert _contents(_open(path)) == {"BUSI.zip/a/1.png": b"one"}


def test_a_tar_and_a_7z_are_unpacked_aside_and_nothing_appears_beside_them(tmp_path):
    _write_tar(tmp_path / "a.tar.gz", member=tarfile.TarInfo("./x/1.npy"), content=b"tar")
    with py7zr.SevenZipFile(tmp_path / "b.7z", "w") as archive:
        archive.writestr(b"seven", "y/2.nii")
    before = sorted(tmp_path.rglob("*"))
    assert _contents(_open(tmp_path)) == {"a.tar.gz/x/1.npy": b"tar", "b.7z/y/2.nii": b"seven"}
    assert sorted(tmp_path.rglob("*")) == before


def test_a_7z_under_another_name_is_known_by_its_first_bytes(tmp_path):
    with py7zr.SevenZipFile(tmp_path / "set.change2zip", "w") as archive:
        archive.writestr(b"seven", "site/1.txt")
    assert _contents(_open(tmp_path)) == {"set.change2zip/site/1.txt": b"seven"}


def test_a_file_in_a_zip_can_be_read_by_another_process_and_has_a_path_for_a_while(tmp_path):
    _write_zip(tmp_path / "a.zip", members={"v.mha": b"volume"})
    (file,) = pickle.loads(pickle.dumps(_open(tmp_path))).files
    with file.on_disk() as path:
        assert path.read_bytes() == b"volume"
        assert path.name == "v.mha"
    assert not path.exists()


@pytest.mark.parametrize("name", ["../evil.png", "/etc/evil.png", "a/../../evil.png", "C:/evil"])
def test_a_member_that_points_outside_is_refused(tmp_path, name):
    path = _write_zip(tmp_path / "a.zip", members={"good.png": b"good", name: b"evil"})
    with pytest.raises(ValueError, match="points outside") as caught:
        _open(path)
    assert str(path) in str(caught.value)


def test_a_member_of_a_tar_that_points_outside_is_refused(tmp_path):
    path = _write_tar(tmp_path / "a.tar.gz", member=tarfile.TarInfo("../evil.npy"), content=b"x")
    with pytest.raises(ValueError, match=r"evil\.npy' points outside"):
        _open(path)
    assert not (tmp_path.parent / "evil.npy").exists()


@pytest.mark.parametrize("name", ["../evil.npy", "/etc/evil.npy", "a/../../evil.npy"])
def test_a_member_of_a_7z_that_points_outside_is_refused(tmp_path, monkeypatch, name):
    # The package would not write such a name; whoever makes one on purpose has no such scruple.
    monkeypatch.setattr("py7zr.py7zr.check_archive_path", lambda _: True)
    path = tmp_path / "inner/a.7z"
    path.parent.mkdir()
    with py7zr.SevenZipFile(path, "w") as archive:
        archive.writestr(b"good", "good.npy")
        archive.writestr(b"evil", name)
    with pytest.raises(ValueError, match=r"evil\.npy' points outside") as caught:
        _open(path)
    assert str(path) in str(caught.value)
    assert list(tmp_path.rglob("*.npy")) == []


def test_links_in_archives_are_refused(tmp_path):
    link = tarfile.TarInfo("link.npy")
    link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
    with pytest.raises(ValueError, match="is a link"):
        _open(_write_tar(tmp_path / "a.tar.gz", member=link))
    path = tmp_path / "b.zip"
    info = zipfile.ZipInfo("link.png")
    info.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(info, "/etc/passwd")
    with pytest.raises(ValueError, match="is a link"):
        _open(path)


def test_an_archive_that_grows_beyond_all_measure_is_refused_before_it_is_unpacked(
    tmp_path, monkeypatch
):
    monkeypatch.setattr(archives, "ALWAYS_ALLOWED_BYTES", 2**16)
    path = _write_zip(tmp_path / "bomb.zip", members={"zeros.npy": bytes(2**20)})
    with pytest.raises(ValueError, match="1048576 bytes, more than"):
        _open(path)
    tar = tarfile.TarInfo("zeros.npy")
    with pytest.raises(ValueError, match="1048576 bytes, more than"):
        _open(_write_tar(tmp_path / "bomb.tar.gz", member=tar, content=bytes(2**20)))


def test_archives_that_lie_too_deep_are_refused(tmp_path):
    path = _write_zip(tmp_path / "0.zip", members={"x.png": b"x"})
    for depth in range(1, 4):
        members = {f"{depth}.zip": path.read_bytes()}
        path = _write_zip(tmp_path / f"{depth}.zip", members=members)
    with pytest.raises(ValueError, match="4 deep"):
        _open(path)


@pytest.mark.parametrize("name", ["a.zip", "a.tar.gz", "a.7z"])
def test_a_damaged_archive_is_named_with_what_to_do(tmp_path, name):
    path = tmp_path / name
    path.write_bytes(b"7z\xbc\xaf\x27\x1c no archive" if name == "a.7z" else b"no archive")
    with pytest.raises(ValueError, match="Fetch it again") as caught:
        _open(tmp_path)
    assert str(path) in str(caught.value)


def test_a_zip_with_a_flipped_byte_is_named_when_its_member_is_read(tmp_path):
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr("1.png", b"content" * 100)
    content = bytearray(path.read_bytes())
    content[100] ^= 1
    path.write_bytes(content)
    (file,) = _open(path).files
    with pytest.raises(ValueError, match=r"a\.zip/1\.png.*Fetch the archive again"):
        file.read_bytes()


def test_an_archive_with_a_flipped_byte_in_a_zip_is_named(tmp_path):
    inner = _write_zip(tmp_path / "inner.zip", members={"1.png": b"one"}).read_bytes()
    path = tmp_path / "raw/a.zip"
    path.parent.mkdir()
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr("inner.zip", inner)
    path.write_bytes(path.read_bytes().replace(inner, inner[:-1] + b"x"))
    with pytest.raises(ValueError, match=r"a\.zip/inner\.zip.*Fetch the archive again"):
        _open(path)


@pytest.mark.parametrize("name", ["dataset.hdf5", "dataset.H5"])
def test_an_hdf5_file_in_a_zip_is_copied_out_once_and_never_into_memory(
    tmp_path, monkeypatch, name
):
    content = io.BytesIO()
    with h5py.File(content, "w") as opened:
        opened["image"] = np.arange(12).reshape(3, 2, 2)
    path = _write_zip(tmp_path / "a.zip", members={f"x/{name}": content.getvalue()})
    monkeypatch.setattr(RawFile, "read_bytes", None)
    (file,) = pickle.loads(pickle.dumps(_open(path))).files
    assert str(file.path) == f"a.zip/x/{name}"
    for place in range(3):
        frame = hdf5_frame(file, name="image", index=place, names=("image",))
        assert frame.tolist() == [[4 * place, 4 * place + 1], [4 * place + 2, 4 * place + 3]]
    assert _open(path).files == (file,)


def test_an_archive_that_was_replaced_is_listed_again(tmp_path):
    path = _write_zip(tmp_path / "a.zip", members={"1.png": b"one"})
    assert [file.name for file in _open(path).files] == ["1.png"]
    path.unlink()
    _write_zip(path, members={"2.png": b"two", "3.png": b"three"})
    tree = _open(path)
    assert [file.name for file in tree.files] == ["2.png", "3.png"]
    assert tree.files[0].read_bytes() == b"two"


def test_a_rar_is_asked_to_be_unpacked_by_hand(tmp_path):
    (tmp_path / "AC_mask.rar").write_bytes(b"Rar!")
    report = BuildReport()
    open_tree(tmp_path, report=report)
    assert report.notes == {"rar archives that were not opened": 1}


def test_hidden_files_and_those_of_an_archiver_are_left_alone(tmp_path):
    members = {"__MACOSX/._1.png": b"", "a/._1.png": b"", "a/1.png": b"one"}
    _write_zip(tmp_path / "a.zip", members=members)
    (tmp_path / ".cache").mkdir()
    (tmp_path / ".cache/2.png").write_bytes(b"")
    assert list(_contents(_open(tmp_path))) == ["a.zip/a/1.png"]
