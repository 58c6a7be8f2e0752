"""CSV tables and workbooks of raw datasets."""

import io
import zipfile
from pathlib import Path

import pytest

from shards.build_report import BuildReport
from shards.reading import open_tree, read_csv, read_sheet, tables
from tests.support import source_trees_volumes as volumes


def raw_file(path: Path):
    """Return a file as sources get it."""
    (file,) = open_tree(path.parent, report=BuildReport()).files
    return file


def test_a_table_without_a_column_is_refused(tmp_path: Path) -> None:
    (tmp_path / "sizes.csv").write_text("filename,size\na.png,1\n")
    with pytest.raises(ValueError, match=r"lacks the columns pixel size.*found filename, size"):
        read_csv(raw_file(tmp_path / "sizes.csv"), columns=("filename", "pixel size(mm)"))


def test_a_short_row_of_a_table_is_refused_with_its_line(tmp_path: Path) -> None:
    (tmp_path / "sizes.csv").write_text("filename,size\na.png,1\n\nb.png\n")
    with pytest.raises(ValueError, match="line 4: has 1 values for 2 columns"):
        read_csv(raw_file(tmp_path / "sizes.csv"), columns=("size",))


def test_a_sheet_keeps_empty_cells_in_place(tmp_path: Path) -> None:
    rows = [["name", "", "3"], ["", "b", ""]]
    volumes.save_sheet(tmp_path / "table.xlsx", rows=rows)
    assert read_sheet(raw_file(tmp_path / "table.xlsx")) == [["name", "", "3"], ["", "b"]]


@pytest.mark.parametrize("kind", ["no zip", "no sheet", "bomb"])
def test_what_is_no_workbook_is_refused(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tables, "MAX_SHEET_BYTES", 1000)
    content = io.BytesIO(b"no zip")
    if kind != "no zip":
        content = io.BytesIO()
        with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as workbook:
            name = "xl/worksheets/sheet1.xml" if kind == "bomb" else "other.xml"
            workbook.writestr(name, b" " * 1001 if kind == "bomb" else b"")
    # The name is not that of an archive, so that it is not listed as a folder.
    (tmp_path / "table.xlsx").write_bytes(content.getvalue())
    with pytest.raises(ValueError, match=r"table.xlsx: cannot be read as an .xlsx workbook"):
        read_sheet(raw_file(tmp_path / "table.xlsx"))
