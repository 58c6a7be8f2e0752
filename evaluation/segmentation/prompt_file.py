"""What is asked of each of many files: a table of clicks and boxes, as CSV or JSON."""

import csv
import json
from pathlib import Path
from typing import Any

from evaluation.deployable.predict import Prompt

CSV_COLUMNS = ("file", "x", "y", "label", "x0", "y0", "x1", "y1")


def read_prompt_file(path: Path) -> dict[str, Prompt]:
    """Return the prompt of each file, by its name below the folder.

    A CSV has the columns `CSV_COLUMNS`, of which label and either kind of place may be missing, and
    one line a click or box: lines of the same file make one prompt. A JSON file holds an object:
    {"FILE": {"points": [[x, y], ...], "labels": [1, ...], "box": [x0, y0, x1, y1]}}.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: It is neither, or says something else.
    """
    if not path.is_file():
        raise FileNotFoundError(f"prompts={path}: there is no such file.")
    try:
        if path.suffix.lower() == ".json":
            return _from_json(json.loads(path.read_text(encoding="utf-8")))
        return _from_csv(path.read_text(encoding="utf-8-sig").splitlines())
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"prompts={path}: cannot be understood ({error}). Expected a CSV with the columns "
            f'{",".join(CSV_COLUMNS)}, or a JSON file {{"FILE": {{"points": [[x, y]], "labels": '
            '[1], "box": [x0, y0, x1, y1]}}.'
        ) from error


def _from_json(content: Any) -> dict[str, Prompt]:  # noqa: ANN401 -- whatever the file holds
    if not isinstance(content, dict):
        raise TypeError(f"it holds a {type(content).__name__}")
    return {str(name): prompt_from_json(str(name), entry) for name, entry in content.items()}


def prompt_from_json(name: str, entry: Any) -> Prompt:  # noqa: ANN401 -- whatever was sent
    """Return the prompt that a JSON value describes.

    Raises:
        ValueError, TypeError: It describes none.
    """
    if not isinstance(entry, dict) or set(entry) - {"points", "labels", "box"}:
        raise ValueError(f"{name}: {entry!r} is no prompt")
    labels, box = entry.get("labels"), entry.get("box")
    return Prompt(
        points=[_numbers(point) for point in entry.get("points") or ()],
        labels=None if labels is None else [int(label) for label in labels],
        box=None if box is None else _numbers(box),
    )


def _numbers(values: Any) -> list[float]:  # noqa: ANN401 -- whatever the file holds
    return [float(value) for value in values]


def _from_csv(lines: list[str]) -> dict[str, Prompt]:
    table = csv.DictReader(lines)
    columns = table.fieldnames or []
    if "file" not in columns or set(columns) - set(CSV_COLUMNS):
        raise ValueError(f"its columns are {','.join(columns) or 'missing'}")
    found: dict[str, Prompt] = {}
    for row in table:
        before = found.get(row["file"], Prompt(labels=[]))
        points, labels, box = list(before.points), list(before.labels or []), before.box
        if row.get("x"):
            points.append(_numbers([row["x"], row["y"]]))
            labels.append(int(row.get("label") or 1))
        if row.get("x0"):
            if box is not None:
                raise ValueError(f"{row['file']} has two boxes")
            box = _numbers([row[edge] for edge in ("x0", "y0", "x1", "y1")])
        found[row["file"]] = Prompt(points=points, labels=labels, box=box)
    return found
