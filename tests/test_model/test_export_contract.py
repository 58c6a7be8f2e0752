"""Every preset as other programs run it: compiled, and as ONNX graphs.

The graphs of automatic presets are held to their models where they become whole deployables.
"""

import contextlib
import dataclasses
import math
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import jaxtyping
import numpy as np
import pytest
import torch

from evaluation.deployable.onnx_export import export_graphs
from model import Prompts, Segmenter
from tests.support.nano_run import REPOSITORY, launcher_environment
from tests.support.preset_contract import PROMPTED, TINY, built, images_for

COMPILED = """
import sys
import torch
from model.sam import SamSegmenter
from tests.support.preset_contract import built, images_for, usual_prompts

for name in sys.argv[1:]:
    segmenter = built(name, is_shallow=True).eval()
    images = images_for(segmenter, num_images=2)
    prompts = usual_prompts(name, segmenter)
    with torch.no_grad():
        plain = segmenter(images, prompts).low_resolution_logits
        # MONAI's network breaks its own graph; ours is whole.
        is_ours = isinstance(segmenter, SamSegmenter)
        compiled = torch.compile(segmenter, fullgraph=is_ours, backend="aot_eager")
        found = compiled(images, prompts).low_resolution_logits
        torch.testing.assert_close(found, plain, rtol=1e-4, atol=1e-5)
    torch.compiler.reset()
    print(name)
"""
"""Run in a process without the type-checking hook, which would break the graph."""


@pytest.mark.slow
def test_a_compiled_model_gives_the_same_masks() -> None:
    done = subprocess.run(
        [sys.executable, "-c", COMPILED, *TINY],
        cwd=REPOSITORY,
        env=launcher_environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.split() == TINY, done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("name", PROMPTED)
def test_exported_graphs_give_the_same_masks(name: str, tmp_path: Path) -> None:
    import onnxruntime  # noqa: PLC0415

    segmenter = built(name, is_shallow=True).eval()
    with without_type_checks():
        graphs = export_graphs(segmenter, tmp_path)
    encoder, decoder = (
        onnxruntime.InferenceSession(tmp_path / graphs[name]) for name in ("encoder", "decoder")
    )
    images = images_for(segmenter, num_images=3).expand(-1, 3, -1, -1)
    prompts = two_boxes(segmenter)
    with torch.no_grad():
        expected = segmenter(images, prompts).low_resolution_logits[:, 0].numpy()
    names = [output.name for output in encoder.get_outputs()]
    features = dict(zip(names, encoder.run(None, {"images": images.numpy()}), strict=True))
    (found,) = decoder.run(None, features | as_inputs(prompts))
    np.testing.assert_allclose(np.asarray(found), expected, rtol=1e-3, atol=1e-4)


@contextlib.contextmanager
def without_type_checks() -> Iterator[None]:
    """Tracing hands symbolic integers around, which the type-checking hook takes for a mistake."""
    jaxtyping.config.update("jaxtyping_disable", True)
    try:
        yield
    finally:
        jaxtyping.config.update("jaxtyping_disable", False)


def two_boxes(segmenter: Segmenter) -> Prompts:
    """Return boxes as points, and an earlier mask for one of them where masks are taken."""
    prompts = Prompts(
        image_index=torch.tensor([2, 0]),
        points=torch.tensor([[[2.0, 3.0], [20.0, 30.0]], [[9.0, 9.0], [12.0, 30.0]]]),
        point_labels=torch.tensor([[2, 3], [2, 3]]),
    )
    if "masks" not in segmenter.prompt_kinds:
        return prompts
    shape = (2, 1, segmenter.mask_size, segmenter.mask_size)
    masks = torch.linspace(-3, 5, math.prod(shape)).reshape(shape)
    return dataclasses.replace(prompts, mask_logits=masks, has_mask=torch.tensor([False, True]))


def as_inputs(prompts: Prompts) -> dict[str, np.ndarray]:
    """Return what there is of prompts, by the names of a decoder's inputs."""
    return {
        item.name: value.numpy()
        for item in dataclasses.fields(prompts)
        if (value := getattr(prompts, item.name)) is not None
    }
