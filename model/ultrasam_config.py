"""What can be chosen about UltraSam. No torch here."""

from dataclasses import dataclass
from typing import ClassVar

from .config import SamArchitecture


@dataclass(frozen=True, kw_only=True)
class UltrasamArchitecture(SamArchitecture):
    """UltraSam: a SAM that is fine-tuned as a whole, and refines its own answer.

    Both switches follow the released code, so that the released weights give what they were
    trained for. `doubled_residual=false refines_with_candidates=false` is SAM's own decoder.
    """

    kind: ClassVar[str] = "ultrasam"
    may_be_zero: ClassVar[frozenset[str]] = SamArchitecture.may_be_zero | {"num_refinements"}

    doubled_residual: bool = True
    """Add the decoder's tokens to their MLP's output twice, as the released weights need."""

    num_refinements: int = 1
    """How often a prompt without an earlier mask is asked again, with the answer as its mask."""

    refines_with_candidates: bool = True
    """Answer the last of these passes by the candidate of the highest predicted IoU."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.num_refinements and "masks" not in self.prompt_kinds:
            raise ValueError(
                f"num_refinements is {self.num_refinements}, but prompt_kinds "
                f"{self.prompt_kinds} has no masks: add them, or give num_refinements=0."
            )
