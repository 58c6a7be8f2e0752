"""What is asked about an image: clicks and a box, in pixels of the original image."""

import dataclasses

FOREGROUND_CLICK = 1
BACKGROUND_CLICK = 0


@dataclasses.dataclass(frozen=True, kw_only=True)
class ImagePrompt:
    """One question about one image: any number of clicks, a box, or both.

    Coordinates are x along the columns and y along the rows, in pixels of the original image; the
    centre of the first pixel lies at (0, 0), its outer corner at (-0.5, -0.5).
    """

    points: tuple[tuple[float, float], ...] = ()
    point_labels: tuple[int, ...] = ()
    """`FOREGROUND_CLICK` or `BACKGROUND_CLICK` for each point."""

    box: tuple[float, float, float, float] | None = None
    """x0, y0, x1, y1 with x0 < x1 and y0 < y1, or None."""

    def __post_init__(self) -> None:
        if len(self.points) != len(self.point_labels):
            raise ValueError(
                f"{len(self.points)} points have {len(self.point_labels)} labels: "
                "give one label a point, 1 for foreground and 0 for background."
            )
        if set(self.point_labels) - {FOREGROUND_CLICK, BACKGROUND_CLICK}:
            raise ValueError(
                f"Point labels must be 1 (foreground) or 0 (background), got {self.point_labels}."
            )
        if not self.points and self.box is None:
            raise ValueError("A prompt needs at least one point or a box, got neither.")
        if self.box is not None and not (self.box[0] < self.box[2] and self.box[1] < self.box[3]):
            raise ValueError(
                f"box {self.box} is empty: give x0, y0, x1, y1 with x0 < x1 and y0 < y1."
            )
