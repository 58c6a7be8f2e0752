"""The schema, the preset and the command line become one dataclass, or one clear error."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import pytest
from omegaconf import MISSING

from pipeline.options import describe_options, load_config


@dataclass(kw_only=True)
class RateConfig:
    """A section."""

    peak: float = 0.1
    """Reached at the end
    of the warm-up."""

    kind: Literal["cosine", "constant"] = "cosine"

    def __post_init__(self) -> None:
        if self.peak <= 0:
            raise ValueError(f"rate.peak must be positive, got {self.peak}.")


@dataclass(kw_only=True)
class JobConfig:
    """A job."""

    output: str = MISSING
    """Where results go."""

    box: list[float] | None = None
    rate: RateConfig = field(default_factory=RateConfig)


@pytest.fixture
def presets(tmp_path: Path) -> Path:
    (tmp_path / "fast.yaml").write_text("output: from_preset\nrate: {peak: 0.5}\n")
    (tmp_path / "list.yaml").write_text("- 1\n")
    (tmp_path / "broken.yaml").write_text("a: [1\n")
    return tmp_path


def test_the_command_line_wins_over_the_preset_and_the_preset_over_the_defaults(
    presets: Path,
) -> None:
    config = load_config(JobConfig, ["preset=fast", "rate.kind=constant"], presets=presets)
    assert config == JobConfig(output="from_preset", rate=RateConfig(peak=0.5, kind="constant"))
    assert load_config(JobConfig, ["rate.peak=2", "preset=fast"], presets=presets).rate.peak == 2


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["output=x", "rate.peek=1"], "rate.peek.*Did you mean: 'peak'"),
        (["output=x", "speed=1"], r"Option speed: There is no such option\. --help"),
        (["output=x", "rate=2"], r"'2' is no value for it.*rate\.peak, rate\.kind\. Write rate\."),
        (["output=x", "rate.peak=fast"], "rate.peak.*'fast'.*Float"),
        (["output=x", "rate.kind=linear"], "rate.kind.*'cosine', 'constant'"),
        (["output=x", "rate.peak=-1"], "rate.peak must be positive, got -1"),
        (["output=x", "box=[1,two]"], r"box\[1\].*'two'"),
        ([], "must be given: output"),
        (["--output", "x"], "'--output' is not understood.*key=value"),
        (["preset=fats"], "preset=fats.*Did you mean 'fast'"),
        (["preset=list"], "must hold options"),
        (["preset=broken"], "not valid YAML"),
    ],
)
def test_a_wrong_option_is_named_with_what_was_expected(
    presets: Path, words: list[str], expected: str
) -> None:
    with pytest.raises(ValueError, match=expected):
        load_config(JobConfig, words, presets=presets)


def test_help_lists_every_option_with_type_default_and_text() -> None:
    options = {option.name: option for option in describe_options(JobConfig)}
    assert list(options) == ["output", "box", "rate.peak", "rate.kind"]
    assert options["output"].default == "required"
    assert options["box"].type == "list[float] | null"
    assert options["rate.peak"].text == "Reached at the end of the warm-up."
    assert options["rate.kind"].type == "cosine | constant"
