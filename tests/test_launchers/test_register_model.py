import pytest

from evaluation import RegisterConfig
from launchers.command_line import run_command
from launchers.register_model import register


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "name"),
        (["name=toy"], "action=register needs deployable and data"),
        (["name=toy", "action=promote"], "action=promote needs version and data"),
        (["name=toy", "action=crown"], "crown"),
        (
            ["name=toy", "action=history", "tracking_uri=http://127.0.0.1:1"],
            "no server answers there",
        ),
        (
            [
                *("name=toy", "deployable=nowhere", "data=nowhere"),
                "tracking_uri=http://127.0.0.1:1",
            ],
            "no server answers there",
        ),
    ],
)
def test_what_cannot_be_done_is_said_in_one_line(words, message, capsys):
    assert run_command(RegisterConfig, register, arguments=words) != 0
    assert message in capsys.readouterr().err
