import json

import pytest

from evaluation.deployable.predict import Prompt
from evaluation.segmentation.prompt_file import read_prompt_file


def test_lines_of_the_same_file_make_one_prompt(tmp_path):
    path = tmp_path / "prompts.csv"
    path.write_text(
        "file,x,y,label,x0,y0,x1,y1\n"
        "a/scan.png,30,20.5,1,,,,\na/scan.png,2,3,0,,,,\na/scan.png,,,,1,2,30,40\nb.png,5,6,,,,,\n"
    )
    assert read_prompt_file(path) == {
        "a/scan.png": Prompt(
            points=[[30.0, 20.5], [2.0, 3.0]], labels=[1, 0], box=[1.0, 2.0, 30.0, 40.0]
        ),
        "b.png": Prompt(points=[[5.0, 6.0]], labels=[1]),
    }


def test_json_says_the_same(tmp_path):
    path = tmp_path / "prompts.json"
    path.write_text(json.dumps({"b.png": {"points": [[5, 6]]}, "c.png": {"box": [1, 2, 3, 4]}}))
    assert read_prompt_file(path) == {
        "b.png": Prompt(points=[[5.0, 6.0]]),
        "c.png": Prompt(points=[], box=[1.0, 2.0, 3.0, 4.0]),
    }


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("p.csv", "name,x,y\na.png,1,2\n", "its columns are name,x,y"),
        ("p.csv", "", "its columns are missing"),
        ("p.csv", "file,x,y\na.png,left,2\n", "could not convert"),
        ("p.csv", "file,x,y\na.png,1\n", "cannot be understood"),
        ("p.csv", "file,x0,y0,x1,y1\na,1,2,3,4\na,1,2,3,4\n", "a has two boxes"),
        ("p.csv", b"\xff\xfe\x00", "cannot be understood"),
        ("p.json", "{", "cannot be understood"),
        ("p.json", "[1]", "it holds a list"),
        ("p.json", '{"a.png": {"point": [1, 2]}}', "is no prompt"),
        ("p.json", '{"a.png": {"points": [1, 2]}}', "cannot be understood"),
    ],
)
def test_a_file_that_says_something_else_is_refused_with_what_is_expected(
    tmp_path, name, content, message
):
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(ValueError, match=message) as caught:
        read_prompt_file(path)
    assert "Expected a CSV with the columns file,x,y" in str(caught.value)


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"prompts=.*none\.csv: there is no such file"):
        read_prompt_file(tmp_path / "none.csv")
