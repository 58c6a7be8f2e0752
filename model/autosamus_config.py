"""What can be chosen about AutoSAMUS and its student. No torch here."""

from dataclasses import dataclass
from typing import ClassVar

from .config import SamusArchitecture
from .student_config import StudentArchitecture

ONE_CATEGORY = ("foreground",)
"""Categories of AutoSAMUS as it was released: one mask of an image, and no word on presence."""


@dataclass(frozen=True, kw_only=True)
class PromptGeneratorOptions:
    """What any SAM needs beside itself to prompt itself. The defaults are the released code's."""

    embedding_width: int
    """Channels of the image embedding; the SAM's own."""

    categories: tuple[str, ...] = ONE_CATEGORY
    """What is looked for, in the order of the answers. For any but the one `foreground` a further
    head says whether the category is in the image at all."""

    num_task_tokens: int = 50
    """Learned tokens of each category."""

    num_emitted_tokens: int = 1
    """Task tokens that become prompt tokens, the first ones: 1 as released; the paper has k."""

    refines_output_tokens: bool = False
    """Let the image see the decoder's output tokens as the task tokens changed them. The released
    code computes that, and then takes the unchanged ones."""

    trains_adapters: bool = False
    """On pretrained weights, train what SAMUS added to SAM as well (a student: its encoder). The
    paper's AutoSAMUS does, the released code trains the generator alone."""

    generator_depth: int = 2
    """Layers between task tokens and output tokens, and as many between both and the image."""

    generator_heads: int = 8
    """Attention heads of a layer."""

    generator_head_width: int = 64
    """Channels of an attention head."""

    generator_mlp_width: int = 1024
    """Hidden channels of a layer's MLPs."""

    dense_adapter_width: int = 64
    """Hidden channels of the convolutions that make the dense prompt."""

    def check_generator(self) -> None:
        """Refuse what no generator can be built with.

        Raises:
            ValueError: A category twice, or none, or more emitted tokens than there are.
        """
        if not self.categories or len(set(self.categories)) != len(self.categories):
            raise ValueError(
                f"categories is {self.categories}; expected one or more different names."
            )
        if self.num_emitted_tokens > self.num_task_tokens:
            raise ValueError(
                f"num_emitted_tokens ({self.num_emitted_tokens}) is above num_task_tokens "
                f"({self.num_task_tokens}), of which they are taken."
            )

    @property
    def judges_presence(self) -> bool:
        """Whether there is a head that says which categories are in the image."""
        return self.categories != ONE_CATEGORY


@dataclass(frozen=True, kw_only=True)
class AutosamusArchitecture(SamusArchitecture, PromptGeneratorOptions):
    """SAMUS whose prompts are generated from the image, one set for each category.

    The defaults are the released code's.
    """

    kind: ClassVar[str] = "autosamus"

    def __post_init__(self) -> None:
        super().__post_init__()
        self.check_generator()


@dataclass(frozen=True, kw_only=True)
class AutosamusStudentArchitecture(StudentArchitecture, PromptGeneratorOptions):
    """The student's encoder before AutoSAMUS's generator, to learn from an AutoSAMUS."""

    kind: ClassVar[str] = "autosamus_student"

    def __post_init__(self) -> None:
        super().__post_init__()
        self.check_generator()
