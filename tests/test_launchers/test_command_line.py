"""A command's errors are one line, and its exit codes mean something."""

from dataclasses import dataclass

import pytest
from torch.distributed import DistNetworkError, DistStoreError

from launchers.command_line import run_command
from pipeline.refusal import LOST_RANK


@dataclass(kw_only=True)
class CountConfig:
    """Counting."""

    limit: int = 3
    """How far to count."""


def test_help_shows_the_options_and_does_not_run_the_job(
    capsys: pytest.CaptureFixture[str],
) -> None:
    def job(config: CountConfig) -> None:
        """Count things."""
        raise AssertionError(config)

    assert run_command(CountConfig, job, arguments=["--help"]) == 0
    shown = capsys.readouterr().out
    assert "Count things." in shown
    assert "limit (int; default 3)" in shown
    assert "How far to count." in shown


@pytest.mark.parametrize("error", [ValueError, OSError, RuntimeError])
def test_a_users_mistake_is_one_line_and_exit_code_2(
    error: type[Exception], capsys: pytest.CaptureFixture[str]
) -> None:
    def job(config: CountConfig) -> None:
        raise error(f"found {config.limit}")

    assert run_command(CountConfig, job, arguments=["limit=7"]) == 2
    assert capsys.readouterr().err.splitlines() == ["error: found 7"]


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("[third_party/gloo/gloo/transport/tcp/pair.cc:547] Connection closed by peer"),
        DistNetworkError("failed to recv, got 0 bytes"),
        DistStoreError("wait timeout after 600000ms"),
    ],
)
def test_a_collective_that_fails_before_anybody_watches_it_is_a_lost_rank(
    error: RuntimeError, capsys: pytest.CaptureFixture[str]
) -> None:
    def job(config: CountConfig) -> None:
        raise error

    assert run_command(CountConfig, job, arguments=[]) == LOST_RANK
    (said,) = capsys.readouterr().err.splitlines()
    assert said.startswith(f"error: Another rank died or hangs: {error}. ")
    assert said.endswith("Start the same command again.")


def test_a_bug_of_ours_keeps_its_traceback() -> None:
    def job(config: CountConfig) -> None:
        assert config.limit < 0

    with pytest.raises(AssertionError):
        run_command(CountConfig, job, arguments=[])


def test_an_interrupt_ends_with_130_and_a_job_may_choose_its_code() -> None:
    def interrupted(config: CountConfig) -> None:
        raise KeyboardInterrupt(config)

    def chosen(config: CountConfig) -> int:
        return config.limit

    assert run_command(CountConfig, interrupted, arguments=[]) == 130
    assert run_command(CountConfig, chosen, arguments=["limit=1"]) == 1
