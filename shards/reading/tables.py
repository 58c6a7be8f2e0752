"""Lists and tables of raw datasets: lines of text, CSV files, sheets of `.xlsx` workbooks."""

import csv
import io
import re
import zipfile
from collections.abc import Sequence
from xml.etree import ElementTree

from .raw_files import RawFile

MAX_SHEET_BYTES = 2**26
"""Of one part of a workbook, unpacked; tables of datasets have thousands of rows, not millions."""

_MAIN = "{http://schemas.openxmlformats.org/spreadsheetml/2006/main}"
_TEXTS = "xl/sharedStrings.xml"
_SHEET = "xl/worksheets/sheet1.xml"


def read_text(file: RawFile) -> str:
    """Return the text of a file; one that is not UTF-8 is taken as Latin-1."""
    content = file.read_bytes()
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        return content.decode("latin-1")


def is_utf_8(file: RawFile) -> bool:
    """Say whether a text is in UTF-8, so that `read_text` had not to guess."""
    try:
        file.read_bytes().decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def read_lines(file: RawFile) -> list[str]:
    """Return the lines that are not blank, without blanks around them."""
    return [line for line in map(str.strip, read_text(file).splitlines()) if line]


def read_csv(file: RawFile, *, columns: Sequence[str]) -> list[dict[str, str]]:
    """Return the rows of a CSV file with a heading.

    Raises:
        ValueError: The heading lacks one of `columns`, or a row is shorter than the heading.
    """
    rows = list(csv.reader(io.StringIO(read_text(file))))
    heading = [name.strip() for name in rows[0]] if rows else []
    missing = [name for name in columns if name not in heading]
    if missing:
        raise ValueError(
            f"{file}: lacks the columns {', '.join(missing)}; found {', '.join(heading)}. Fetch "
            "the file again."
        )
    short = next((number for number, row in enumerate(rows, 1) if 0 < len(row) < len(heading)), 0)
    if short:
        raise ValueError(
            f"{file} line {short}: has {len(rows[short - 1])} values for {len(heading)} columns. "
            "Mend the line."
        )
    return [dict(zip(heading, map(str.strip, row), strict=False)) for row in rows[1:] if row]


def read_sheet(file: RawFile) -> list[list[str]]:
    """Return the rows of a workbook's first sheet as texts; a cell that is not there is empty.

    Raises:
        ValueError: It is no `.xlsx` workbook, or far larger than a table of a dataset.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(file.read_bytes())) as workbook:
            has_texts = _TEXTS in workbook.namelist()
            texts = _parse(workbook, name=_TEXTS).iter(f"{_MAIN}si") if has_texts else ()
            shared = ["".join(part.text or "" for part in text.iter(f"{_MAIN}t")) for text in texts]
            rows = _parse(workbook, name=_SHEET).iter(f"{_MAIN}row")
            return [_row(row, shared=shared) for row in rows]
    except (zipfile.BadZipFile, KeyError, IndexError, ElementTree.ParseError) as error:
        raise ValueError(
            f"{file}: cannot be read as an .xlsx workbook ({error}). Fetch the file again."
        ) from error


def _parse(workbook: zipfile.ZipFile, *, name: str) -> ElementTree.Element:
    num_bytes = workbook.getinfo(name).file_size
    if num_bytes > MAX_SHEET_BYTES:
        raise zipfile.BadZipFile(
            f"{name} has {num_bytes} bytes, at most {MAX_SHEET_BYTES} are read"
        )
    return ElementTree.fromstring(workbook.read(name))


def _row(row: ElementTree.Element, *, shared: list[str]) -> list[str]:
    values: list[str] = []
    for cell in row.iter(f"{_MAIN}c"):
        place = _column_of(cell.get("r", ""), default=len(values))
        values += [""] * (place + 1 - len(values))
        value = cell.findtext(f"{_MAIN}v") or ""
        inline = "".join(part.text or "" for part in cell.iter(f"{_MAIN}t"))
        is_shared = cell.get("t") == "s"
        values[place] = (shared[int(value)] if is_shared else value or inline).strip()
    return values


def _column_of(reference: str, *, default: int) -> int:
    """Return the place of a cell from its reference, as `AB12`; counted from 0."""
    letters = re.match(r"[A-Z]+", reference)
    if letters is None:
        return default
    place = 0
    for letter in letters[0]:
        place = place * 26 + ord(letter) - ord("A") + 1
    return place - 1
