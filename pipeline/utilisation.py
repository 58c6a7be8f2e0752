"""Model FLOPs utilisation: the model's own arithmetic per second over what the devices could do."""

import contextlib
import functools
from collections.abc import Iterator, Sequence

import torch
from torch.utils.flop_counter import FlopCounterMode

from model import Segmenter

_PEAK_TERAFLOPS: tuple[tuple[tuple[str, ...], float, float], ...] = (
    (("H100", "PCIe"), 756.0, 51.0),
    (("H100", "NVL"), 835.0, 60.0),
    (("H100",), 989.0, 67.0),
    (("H200", "NVL"), 835.0, 60.0),
    (("H200",), 989.0, 67.0),
    (("A100",), 312.0, 19.5),
    (("A40",), 149.7, 37.4),
    (("A10",), 125.0, 31.2),
    (("L40S",), 362.0, 91.6),
    (("L4",), 121.0, 30.3),
)
"""Words of a device's name; dense bfloat16 and plain float32 peaks of NVIDIA's data sheets.

Where a sheet gives bfloat16 with sparsity, it is half of that. The SXM form comes last.
"""

_aten = torch.ops.aten
_FORWARD = (
    _aten._scaled_dot_product_efficient_attention,
    _aten._scaled_dot_product_flash_attention,
    _aten._scaled_dot_product_cudnn_attention,
    _aten._scaled_dot_product_flash_attention_for_cpu,
)
_BACKWARD = (
    _aten._scaled_dot_product_efficient_attention_backward,
    _aten._scaled_dot_product_flash_attention_backward,
    _aten._scaled_dot_product_cudnn_attention_backward,
    _aten._scaled_dot_product_flash_attention_for_cpu_backward,
)


def peak_flops(device_name: str, *, precision: str) -> float | None:
    """Return the arithmetic per second that a GPU is sold with, or None for an unknown one."""
    words = device_name.replace("-", " ").split()  # as in "NVIDIA A100-SXM4-80GB"
    for needed, bfloat16, float32 in _PEAK_TERAFLOPS:
        if set(needed) <= set(words):
            return 1e12 * (bfloat16 if precision == "bfloat16" else float32)
    return None


def flop_counter(segmenter: Segmenter) -> FlopCounterMode:
    """Return a counter, to enter with `with`, of the arithmetic that the model itself asks for.

    What attention computes beside that is left out: the features that carry relative positions into
    fused kernels, and the scores that their backward pass computes anew.
    """
    architecture = segmenter.architecture
    width, heads = (getattr(architecture, name, None) for name in ("width", "num_heads"))
    if width is None or heads is None:
        return FlopCounterMode(display=False)
    forward = functools.partial(attention_flops, head_width=width // heads)
    backward = functools.partial(attention_backward_flops, head_width=width // heads)
    formulas = {**dict.fromkeys(_FORWARD, forward), **dict.fromkeys(_BACKWARD, backward)}
    return FlopCounterMode(display=False, custom_mapping=formulas)


def attention_flops(
    query: Sequence[int], key: Sequence[int], *rest: object, head_width: int, **ignored: object
) -> int:
    """Return multiplies and adds of attention by shapes; wider heads count as `head_width`."""
    del rest, ignored
    num_images, num_heads, num_queries, width = query
    return 4 * num_images * num_heads * num_queries * key[2] * min(width, head_width)


def attention_backward_flops(
    gradient: Sequence[int],
    query: Sequence[int],
    key: Sequence[int],
    *rest: object,
    head_width: int,
    **ignored: object,
) -> int:
    """Return those of the backward pass: four products where forward has two."""
    del gradient
    return 2 * attention_flops(query, key, *rest, head_width=head_width, **ignored)


class Utilisation:
    """Counts the arithmetic of one step, once, where the device's peak is known."""

    def __init__(self, segmenter: Segmenter, *, peak: float | None, images_per_step: int) -> None:
        """Prepare to count.

        Args:
            segmenter: What trains.
            peak: Of one rank's device, in FLOP/s; None counts nothing.
            images_per_step: Of one rank.
        """
        self._segmenter = segmenter
        self._peak = peak
        self._images_per_step = images_per_step
        self._flops_per_image: float | None = None

    @contextlib.contextmanager
    def counting(self) -> Iterator[None]:
        """Count the step inside the first `with`; later ones cost nothing."""
        if self._peak is None or self._flops_per_image is not None:
            yield
            return
        with flop_counter(self._segmenter) as counter:
            yield
        self._flops_per_image = counter.get_total_flops() / self._images_per_step

    def at(self, images_per_second: float) -> dict[str, float]:
        """Return the utilisation at so many images per second and rank, if it is known."""
        if self._peak is None or self._flops_per_image is None:
            return {}
        return {
            "speed/model_flops_utilisation": self._flops_per_image * images_per_second / self._peak
        }


def known_peak(device: torch.device, *, precision: str) -> float | None:
    """Return the peak of the device that a rank trains on, or None."""
    if device.type != "cuda":
        return None
    return peak_flops(torch.cuda.get_device_name(device), precision=precision)
