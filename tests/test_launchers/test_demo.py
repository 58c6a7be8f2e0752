"""The command of the demo; what its server answers is tested with the evaluation."""

import socket

import pytest

from evaluation import DemoConfig
from launchers.command_line import run_command
from launchers.demo import demo
from tests.support.disc_deployable import write_disc_deployable


def run(*words):
    return run_command(DemoConfig, demo, arguments=[str(word) for word in words])


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["model=nowhere"], "model=nowhere: there is no such folder"),
        (["model=nowhere", "port=70000"], "port must lie between 0 and 65535, got 70000"),
    ],
)
def test_a_mistake_gets_one_line(capsys, words, message):
    assert run(*words) == 2
    error = capsys.readouterr().err
    assert message in error
    assert len(error.splitlines()) == 1


def test_a_port_in_use_is_named_with_what_to_do(tmp_path, capsys):
    folder = write_disc_deployable(tmp_path / "disc")
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        assert run(f"model={folder}", f"port={port}") == 2
    assert f"port={port} cannot be used" in capsys.readouterr().err
