"""The contract of every model: encode an image once, then answer prompts about it.

Axis names used in this file:
    image, channel, row, column    of the framed batch
"""

from typing import ClassVar

from jaxtyping import Float, Shaped
from torch import Tensor, nn

from .config import Architecture
from .encoder_input import as_three_channels, padding_colour
from .framing import Framing
from .image_encoder import ImageEncoder
from .prompts import ImageFeatures, MaskPrediction, Prompts


class Segmenter(nn.Module):
    """Images in [0, 1] to mask logits."""

    added_to_sam: ClassVar[tuple[type[nn.Module], ...]] = ()
    """Types of the modules whose weights no file of SAM has."""

    unpublished: ClassVar[tuple[type[nn.Module], ...]] = ()
    """Those among them that files of the published model lack as well."""

    added_to_parent: ClassVar[tuple[type[nn.Module], ...]] = ()
    """Types of the modules that a later stage adds to a model of its own: files of that lack them.
    """

    removed_from_sam: ClassVar[tuple[str, ...]] = ()
    """How names of SAM's tensors begin that have no place here."""

    is_automatic: ClassVar[bool] = False
    """Whether it answers every category by itself and takes no prompts."""

    predicts_iou: ClassVar[bool] = False
    """Whether it can offer several masks, and rates each by the IoU that it expects."""

    def __init__(self, architecture: Architecture) -> None:
        super().__init__()
        self.architecture = architecture
        self.framing = Framing(
            input_size=architecture.input_size,
            fit=architecture.fit,
            padding=padding_colour(architecture),
        )

    @property
    def kind(self) -> str:
        """Name of the family, as `architecture.json` has it."""
        return self.architecture.kind

    @property
    def categories(self) -> tuple[str, ...]:
        """What an automatic model looks for, in the order of its answers."""
        return ()

    @property
    def prompt_kinds(self) -> frozenset[str]:
        """Which of points, boxes and masks it can be asked with; none where it is automatic."""
        return frozenset()

    @property
    def mask_size(self) -> int:
        """Side, in cells, of the earlier masks that it can be asked with; 0 where it cannot."""
        return 0

    @property
    def habitual_masks(self) -> tuple[int, ...]:
        """Which of the decoder's masks are made where `multimask` is None.

        0 is the single one, the others are the candidates.
        """
        return (0,)

    def encode(self, images: Float[Tensor, "image channel row column"]) -> ImageFeatures:
        """Return what is known about each image before any prompt."""
        raise NotImplementedError

    def decode(
        self,
        features: ImageFeatures,
        prompts: Prompts | None = None,
        multimask: bool | None = None,
    ) -> MaskPrediction:
        """Return one answer per prompt, or per image and category for automatic models.

        Args:
            features: From `encode`.
            prompts: Questions; None for automatic models only.
            multimask: Whether to answer with several candidates; None is the variant's habit.
        """
        raise NotImplementedError

    def check_prompts(self, prompts: Prompts | None, *, features: ImageFeatures) -> Prompts:
        """Return the prompts; refuse what a prompted model cannot be asked.

        `decode` does so as well, but sees no values on a GPU: prompts that a user gives are best
        checked before they go there.
        """
        del features
        if prompts is None:
            raise ValueError(f"{self.kind} answers prompts, and got none.")
        return prompts

    def forward(
        self,
        images: Float[Tensor, "image channel row column"],
        prompts: Prompts | None = None,
        multimask: bool | None = None,
    ) -> MaskPrediction:
        """Encode and decode in one call."""
        return self.decode(self.encode(images), prompts, multimask)

    def set_activation_checkpointing(self, enabled: bool) -> None:
        """Choose between keeping the encoder's activations and computing them again."""
        for module in self.modules():
            if isinstance(module, ImageEncoder):
                module.use_activation_checkpointing = enabled

    def trains_with_base(self, module: nn.Module) -> bool:
        """Tell whether a module, with all in it, trains when pretrained weights were loaded.

        Without them everything does.
        """
        del module
        return True

    def never_trains(self, module: nn.Module) -> bool:
        """Tell whether a module, with all in it, stays as it is in every kind of training."""
        del module
        return False

    def _refuse_prompts(self, prompts: Prompts | None, multimask: bool | None) -> None:
        """Refuse what an automatic model cannot be asked."""
        if prompts is not None or multimask is not None:
            raise ValueError(
                f"{self.kind} answers every category by itself: give neither prompts nor multimask."
            )

    def _as_three_channels(
        self, images: Shaped[Tensor, "image channel row column"]
    ) -> Float[Tensor, "image 3 row column"]:
        return as_three_channels(images, architecture=self.architecture)
