"""From an image of any size to the model's square input, and back.

Coordinates are (x, y) in pixels; the centre of the upper left pixel is (0, 0).

Axis names used in this file:
    channel, row, column     of the image; candidate is a mask's place in an answer
    framed                   channel of the framed image
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from .config import Fit


@dataclass(frozen=True, kw_only=True)
class Framing:
    """How an image becomes `input_size` x `input_size` pixels."""

    input_size: int
    fit: Fit
    """squash changes the aspect ratio; letterbox keeps it and pads right and below."""

    padding: tuple[float, float, float] | None = None
    """Colour of what is padded; framed images then have three channels. None pads with zeros."""

    def content_size(self, original_size: tuple[int, int]) -> tuple[int, int]:
        """Return rows and columns of the frame that hold image; the rest is padding."""
        if self.fit == "squash":
            return self.input_size, self.input_size
        scale = self.input_size / max(original_size)
        rows, columns = (max(1, int(side * scale + 0.5)) for side in original_size)
        return rows, columns

    def frame(self, image: Float[Tensor, "channel _ _"]) -> Float[Tensor, "framed row column"]:
        """Resize with antialiasing, and pad where the fit says so."""
        rows, columns = self.content_size((image.shape[1], image.shape[2]))
        colour = image.new_tensor(self.padding or image.shape[0] * (0.0,))
        framed = colour[:, None, None].repeat(1, self.input_size, self.input_size)
        framed[:, :rows, :columns] = _resize(image, size=(rows, columns))
        return framed

    def frame_matrix(self, original_size: tuple[int, int]) -> Float[Tensor, "2 3"]:
        """Return the affine map from original to framed coordinates."""
        rows, columns = self.content_size(original_size)
        across, down = columns / original_size[1], rows / original_size[0]
        return torch.tensor(
            [[across, 0.0, 0.5 * across - 0.5], [0.0, down, 0.5 * down - 0.5]],
            dtype=torch.float64,
        ).float()

    def frame_points(
        self, points: Float[Tensor, "*batch 2"], *, original_size: tuple[int, int]
    ) -> Float[Tensor, "*batch 2"]:
        """Move points from the original image into the frame."""
        matrix = self.frame_matrix(original_size).to(points)
        return points * matrix.diagonal() + matrix[:, 2]

    def unframe(
        self, logits: Float[Tensor, "candidate _ _"], *, original_size: tuple[int, int]
    ) -> Float[Tensor, "candidate row column"]:
        """Resize logits of the whole frame, at any resolution, to the original grid."""
        content = self.content_size(original_size)
        if content != (self.input_size, self.input_size):
            whole = _resize(logits, size=(self.input_size, self.input_size))
            logits = whole[:, : content[0], : content[1]]
        return _resize(logits, size=original_size)


def _resize(
    planes: Float[Tensor, "plane _ _"], *, size: tuple[int, int]
) -> Float[Tensor, "plane row column"]:
    if tuple(planes.shape[1:]) == size:
        return planes
    return functional.interpolate(
        planes[None], size, mode="bilinear", align_corners=False, antialias=True
    )[0]
