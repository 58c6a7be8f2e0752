"""What an engine keeps in memory is arithmetic on a model's counts, and so is the page's table."""

from pathlib import Path

import pytest

from benchmarks.engine_memory import ENGINES, computed_rows, state_bytes

PAGE = Path(__file__).resolve().parent.parent / "docs" / "engines.md"


@pytest.mark.parametrize(
    ("engine", "floats"),
    [
        ("DDP", 100 + 2 * 30 + 2 * 30),  # weights; gradients and their buckets; moments
        ("ZeRO-1", 100 + 30 + 20 + 3 * 8),  # a rank of four moves 8 of 30, by a master and moments
        ("ZeRO-2", 100 + 8 + 20 + 3 * 8),  # and keeps gradients for those alone
        ("ZeRO-3", 25 + 8 + 20 + 3 * 8),  # and a quarter of the weights
    ],
)
def test_a_rank_keeps_its_share_of_what_its_engine_parts(engine: str, floats: int) -> None:
    size = state_bytes(engine, num_weights=100, num_trainable=30, num_ranks=4, largest_bucket=20)
    assert size == 4 * floats


def test_a_bucket_is_no_larger_than_what_trains() -> None:
    small, large = (
        state_bytes("ZeRO-1", num_weights=9, num_trainable=5, num_ranks=1, largest_bucket=bucket)
        for bucket in (5, 500)
    )
    assert small == large == 4 * (9 + 5 + 5 + 3 * 5)


@pytest.mark.slow
@pytest.mark.parametrize("preset", ["samus_vit_b", "samus_vit_h"])
def test_the_page_shows_what_is_computed(preset: str) -> None:
    lines = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in PAGE.read_text().splitlines()
        if line.startswith("|")
    ]
    first = next(at for at, cells in enumerate(lines) if cells[0].startswith(f"`{preset}`"))
    rows = computed_rows(preset)
    assert len(rows) == 2 * len(ENGINES)
    shown = [cells[2:] for cells in lines[first : first + len(rows)]]
    assert shown == [row[1:] for row in rows]
    assert [lines[first][1], lines[first + len(ENGINES)][1]] == [
        row[0].split("(")[1].rstrip(")") for row in rows[:: len(ENGINES)]
    ]
