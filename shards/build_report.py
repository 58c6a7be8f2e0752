"""What went wrong and what was noticed during a build, collected so that one report tells all."""

from collections import Counter, defaultdict
from typing import Any

MAX_SHOWN_PER_KIND = 10
"""Problems of one kind that the report spells out; the others are counted."""


class InputError(ValueError):
    """Something about one file that its owner can mend."""

    def __init__(self, kind: str, message: str) -> None:
        """Take the kind, as `mask of another size`, and a message with file and remedy."""
        super().__init__(message)
        self.kind = kind


class BuildReport:
    """Problems (each stops the build unless it is allowed to skip) and counted observations."""

    def __init__(self) -> None:
        self._problems: dict[str, list[str]] = defaultdict(list)
        self._has_obstacle = False
        self._hints: list[str] = []
        self.notes: Counter[str] = Counter()

    @property
    def num_problems(self) -> int:
        """Problems of all kinds."""
        return sum(len(messages) for messages in self._problems.values())

    def add(self, problem: InputError, *, is_obstacle: bool = False) -> None:
        """Remember a problem; an obstacle is one that leaving a sample out does not mend."""
        self._problems[problem.kind].append(str(problem))
        self._has_obstacle |= is_obstacle

    def refuses(self, *, max_skipped_samples: int) -> bool:
        """Say whether nothing may be built: an obstacle, or more problems than may be left out."""
        return self._has_obstacle or self.num_problems > max_skipped_samples

    def check(self, *, max_skipped_samples: int) -> None:
        """Raise `ValueError` with all problems where nothing may be built."""
        if self.refuses(max_skipped_samples=max_skipped_samples):
            raise ValueError(
                f"the input has {self.num_problems} problems; max_skipped_samples="
                f"{max_skipped_samples} leaves out at most so many broken samples, and lets "
                f"neither a leak nor a list that cannot be used pass. Nothing was built.\n"
                f"{self.describe_problems()}"
            )

    def include(self, other: "BuildReport") -> None:
        """Add what another report holds on samples; leaks and hints arise in the first one."""
        for kind, messages in other._problems.items():
            self._problems[kind] += messages
        self.notes.update(other.notes)

    def to_json(self) -> dict[str, Any]:
        """Return problems and notes on samples."""
        return {"problems": dict(self._problems), "notes": dict(self.notes)}

    @classmethod
    def from_json(cls, fields: dict[str, Any]) -> "BuildReport":
        """Rebuild a report on samples."""
        report = cls()
        report._problems.update(fields["problems"])
        report.notes.update(fields["notes"])
        return report

    def note(self, what: str, *, count: int = 1) -> None:
        """Count something that is worth knowing and harms nothing."""
        self.notes[what] += count

    def hint(self, text: str) -> None:
        """Add a line that helps to understand problems; it is shown where there are some."""
        self._hints.append(text)

    def problems_by_kind(self) -> dict[str, int]:
        """Return how many problems there are of each kind."""
        return {kind: len(messages) for kind, messages in sorted(self._problems.items())}

    def describe_problems(self) -> str:
        """Return all kinds of problems, with the first messages of each."""
        lines = []
        for kind, messages in sorted(self._problems.items()):
            lines.append(f"{kind} ({len(messages)}):")
            lines += [f"  {message}" for message in messages[:MAX_SHOWN_PER_KIND]]
            if len(messages) > MAX_SHOWN_PER_KIND:
                lines.append(f"  ... and {len(messages) - MAX_SHOWN_PER_KIND} more of this kind")
        lines += self._hints if lines else []
        return "\n".join(lines)
