"""The deployable as an MLflow pyfunc: MLflow stores this script and runs it to load the model.

It runs where this repository is not installed, so it imports what `mlflow-skinny`'s pyfunc needs
and the deployable's own `predict.py`, nothing else.
"""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
from mlflow.models import set_model
from mlflow.pyfunc import PythonModel

ABSENT = -1


class PromptAnswers:
    """Masks on the images' own grid, for prompts about a batch of images, or for all categories.

    A model without prompts takes `images` alone and gives `masks` uint8 (image, category, row,
    column), `label_map` uint8 (image, row, column) and `presence` float32 (image, category).

    A prompted one takes `images` uint8 (image, row, column, 3), `image_index` (prompt), `points`
    (prompt, point, 2) as x, y in pixels of the image, and `point_labels` (prompt, point): 1 inside
    the object, 0 outside of it, 2 and 3 the corners of a box, -1 an empty slot. It gives `masks`
    uint8 (prompt, row, column), 0 or 1.
    """

    def load_context(self, context):  # noqa: ANN001, ANN201 -- MLflow reads hints as a schema
        """Open the deployable that was stored with this script."""
        folder = Path(context.artifacts["deployable"])
        self._module = _import_predict(folder)
        self._segmenter = self._module.Segmenter(folder)

    def predict(self, context, model_input, params=None):  # noqa: ANN001, ANN201
        """Return the masks of all prompts, in their order."""
        del context, params
        images = np.asarray(model_input["images"], dtype=np.uint8)
        if self._segmenter.preprocessing["kind"] == "automatic":
            return self._find(images)
        image_index = np.asarray(model_input["image_index"])
        is_unknown = (image_index < 0) | (image_index >= len(images))
        if is_unknown.any():
            raise ValueError(
                f"image_index {image_index[is_unknown]} names none of {len(images)} images."
            )
        masks = np.zeros((len(image_index), *images.shape[1:3]), dtype=np.uint8)
        for index in np.unique(image_index):
            asked = np.flatnonzero(image_index == index)
            prompts = [
                self._prompt(model_input["points"][row], model_input["point_labels"][row])
                for row in asked
            ]
            masks[asked] = self._segmenter.masks(images[index], prompts=prompts)
        return {"masks": masks}

    def _find(self, images):  # noqa: ANN001, ANN202
        """Return what is found in every image."""
        found = [self._segmenter.find(image) for image in images]
        types = {"masks": np.uint8, "label_map": np.uint8, "presence": np.float32}
        return {name: np.stack([one[name] for one in found]).astype(types[name]) for name in types}

    def _prompt(self, points, labels):  # noqa: ANN001, ANN202
        """Return the prompt of one row of tensors."""
        points, labels = np.asarray(points, dtype=np.float64), np.asarray(labels)
        corners = [points[labels == corner] for corner in (2, 3)]
        has_box = any(len(corner) for corner in corners)
        if has_box and [len(corner) for corner in corners] != [1, 1]:
            raise ValueError("A box needs exactly one point labelled 2 and one labelled 3.")
        is_click = (labels == 0) | (labels == 1)
        return self._module.Prompt(
            points=points[is_click].tolist(),
            labels=labels[is_click].tolist(),
            box=np.concatenate(corners).ravel().tolist() if has_box else None,
        )


def _import_predict(folder: Path) -> ModuleType:
    name = "samuspretrain_deployable_predict"
    spec = importlib.util.spec_from_file_location(name, folder / "predict.py")
    if spec is None or spec.loader is None:
        raise FileNotFoundError(f"{folder / 'predict.py'} is missing from the model.")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


class DeployableModel(PromptAnswers, PythonModel):  # pyright: ignore[reportIncompatibleMethodOverride]
    """The model. Its methods are inherited, else MLflow asks for type hints on every loading."""


set_model(DeployableModel())
