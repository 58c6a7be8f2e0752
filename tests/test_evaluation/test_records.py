import dataclasses
import math

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from evaluation import gather_records, read_records, write_records
from evaluation.training_tiers import UNKNOWN_TIER
from tests.support.evaluation_records import make_record


def same(first, second):
    return all(
        a == b or (isinstance(a, float) and math.isnan(a) and math.isnan(b))
        for a, b in zip(dataclasses.astuple(first), dataclasses.astuple(second), strict=True)
    )


def test_records_survive_the_file(tmp_path):
    records = [make_record(), make_record(key="a_source__1", hd95_millimetres=0.25, dice=math.nan)]
    write_records(tmp_path / "new" / "records.parquet", records)
    read = read_records(tmp_path / "new" / "records.parquet")
    assert all(same(a, b) for a, b in zip(records, read, strict=True))
    assert list((tmp_path / "new").iterdir()) == [tmp_path / "new" / "records.parquet"]


def test_no_records_survive_the_file(tmp_path):
    write_records(tmp_path / "records.parquet", [])
    assert read_records(tmp_path / "records.parquet") == []


def test_other_programs_find_plain_columns(tmp_path):
    write_records(tmp_path / "records.parquet", [make_record(dice=0.5), make_record(dice=0.7)])
    assert pq.read_table(tmp_path / "records.parquet")["dice"].to_pylist() == [0.5, 0.7]


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="nowhere"):
        read_records(tmp_path / "nowhere.parquet")


def test_a_file_of_another_kind_is_refused(tmp_path):
    path = tmp_path / "records.parquet"
    path.write_text("dice,0.5")
    with pytest.raises(ValueError, match="not a readable Parquet file"):
        read_records(path)
    pq.write_table(pa.table({"dice": [0.5]}), path)
    with pytest.raises(ValueError, match="not a table of evaluation records"):
        read_records(path)


def test_a_newer_format_is_refused(tmp_path):
    path = tmp_path / "records.parquet"
    write_records(path, [make_record()])
    table = pq.read_table(path).replace_schema_metadata({"samuspretrain.records": "4"})
    pq.write_table(table, path)
    with pytest.raises(ValueError, match="newer samuspretrain"):
        read_records(path)


@pytest.mark.parametrize(("version", "lacks"), [("1", ["presence_logit", "tier"]), ("2", ["tier"])])
def test_what_an_earlier_format_lacks_is_unknown(tmp_path, version, lacks):
    path = tmp_path / "records.parquet"
    write_records(path, [make_record(presence_logit=2.0, tier="seen")])
    assert read_records(path)[0].tier == "seen"
    table = pq.read_table(path).drop_columns(lacks)
    pq.write_table(table.replace_schema_metadata({"samuspretrain.records": version}), path)
    (record,) = read_records(path)
    assert record.tier == UNKNOWN_TIER
    assert math.isnan(record.presence_logit) == ("presence_logit" in lacks)
    pq.write_table(table, path)
    with pytest.raises(ValueError, match=r"missing columns: .*tier"):
        read_records(path)


def test_joined_rows_have_the_same_order_for_any_ranks():
    records = [make_record(key=f"a_source__{index}") for index in range(7)]
    one_rank = gather_records([records])
    assert gather_records([records[::2], records[1::2]]) == one_rank
    assert gather_records([[], records[::-1]]) == one_rank


def test_an_object_measured_twice_is_an_error():
    with pytest.raises(RuntimeError, match="measured twice"):
        gather_records([[make_record()], [make_record()]])


def test_misses_and_false_positives_are_told_apart():
    assert make_record(predicted_pixels=0).is_miss
    assert make_record(reference_pixels=0).is_false_positive
    nothing = make_record(reference_pixels=0, predicted_pixels=0)
    assert not nothing.is_miss
    assert not nothing.is_false_positive
