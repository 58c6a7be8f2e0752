"""The learning rate as a function of the step."""

import itertools

import pytest

from pipeline.config import OptimizerConfig
from pipeline.schedule import learning_rate_at


def rates(config: OptimizerConfig, *, max_steps: int) -> list[float]:
    return [learning_rate_at(step, config=config, max_steps=max_steps) for step in range(max_steps)]


def test_the_warmup_rises_from_above_zero_and_its_last_step_has_the_peak() -> None:
    config = OptimizerConfig(peak_learning_rate=1.0, warmup_steps=4)
    assert rates(config, max_steps=100)[:4] == [0.25, 0.5, 0.75, 1.0]


def test_without_a_warmup_the_first_step_has_the_peak() -> None:
    config = OptimizerConfig(peak_learning_rate=0.5, warmup_steps=0)
    assert rates(config, max_steps=10)[0] == 0.5


def test_the_cosine_falls_and_ends_at_the_final_fraction() -> None:
    config = OptimizerConfig(peak_learning_rate=1.0, warmup_steps=2, final_fraction=0.1)
    found = rates(config, max_steps=50)
    assert all(later < earlier for earlier, later in itertools.pairwise(found[2:]))
    assert learning_rate_at(26, config=config, max_steps=50) == pytest.approx(0.55)
    assert learning_rate_at(50, config=config, max_steps=50) == pytest.approx(0.1)
    assert learning_rate_at(5_000, config=config, max_steps=50) == pytest.approx(0.1)


def test_the_constant_schedule_stays_at_the_peak() -> None:
    config = OptimizerConfig(peak_learning_rate=0.3, warmup_steps=1, schedule="constant")
    assert set(rates(config, max_steps=20)) == {0.3}


def test_the_rate_falls_at_milestones_that_are_fractions_of_the_run() -> None:
    config = OptimizerConfig(
        peak_learning_rate=1.0,
        warmup_steps=2,
        schedule="steps",
        milestones=[0.5, 0.8],
        milestone_factor=0.1,
    )
    assert rates(config, max_steps=10) == pytest.approx([0.5] + [1.0] * 4 + [0.1] * 3 + [0.01] * 2)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"schedule": "steps"}, "the schedule steps needs milestones"),
        ({"schedule": "cosine", "milestones": [0.5]}, "no other takes them"),
        ({"schedule": "steps", "milestones": [0.5, 0.5]}, "ascending"),
        ({"schedule": "steps", "milestones": [5.0]}, "between 0 and 1"),
        ({"schedule": "steps", "milestones": [0.5], "milestone_factor": 1.0}, "milestone_factor"),
    ],
)
def test_milestones_that_cannot_be_meant_are_refused(options: dict, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        OptimizerConfig(**options)
