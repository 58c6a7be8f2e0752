"""A stand-in for an exported model: real ONNX graphs that draw a disc around the first point.

It is written in milliseconds, where the export of a segmenter takes many seconds, and a test can
say beforehand which pixels must come out.
"""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from evaluation.deployable.folder import new_deployable, write_json

INPUT_SIZE = 64
OPSET = 18


def write_disc_deployable(
    folder: Path, *, radius: float = 8.0, fit: str = "squash", num_channels: int = 1, **changes: Any
) -> Path:
    """Write a deployable whose mask is a disc of `radius` framed pixels around the first point."""
    preprocessing = {
        "format": "samuspretrain-deployable",
        "format_version": 3,
        "kind": "prompted",
        "model": "disc",
        "input_size": INPUT_SIZE,
        "fit": fit,
        "num_channels": num_channels,
        "padding": None,
        "threshold_logit": 0.0,
        "prompt_kinds": ["boxes", "points"],
        "categories": [],
        "graphs": {"float32": {"encoder": "encoder.onnx", "decoder": "decoder.onnx"}},
    } | changes
    with new_deployable(folder, overwrite=False) as partial:
        onnx.save(_encoder(num_channels), partial / "encoder.onnx")
        onnx.save(_decoder(radius, num_channels), partial / "decoder.onnx")
        write_json(partial / "preprocessing.json", preprocessing)
        write_json(partial / "evaluation.json", {"format_version": 1})
        (partial / "model_card.md").write_text("# disc\n")
    return folder


def _encoder(num_channels: int) -> onnx.ModelProto:
    shape = ["image", num_channels, INPUT_SIZE, INPUT_SIZE]
    graph = helper.make_graph(
        [helper.make_node("Identity", ["images"], ["embedding"])],
        "encoder",
        [helper.make_tensor_value_info("images", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("embedding", TensorProto.FLOAT, shape)],
    )
    return _model(graph)


def _decoder(radius: float, num_channels: int) -> onnx.ModelProto:
    place = np.arange(INPUT_SIZE, dtype=np.float32)
    constants = {
        "columns": place.reshape(1, 1, -1),
        "rows": place.reshape(1, -1, 1),
        "reach": np.float32(radius**2),
        "zero": np.float32(0.0),
        "first": np.array([0], np.int64),
        "second": np.array([1], np.int64),
        "two": np.array([2], np.int64),
        "point_axis": np.array([1], np.int64),
        "xy_axis": np.array([2], np.int64),
    }
    nodes = [
        helper.make_node("Slice", ["points", "first", "second", "point_axis"], ["point"]),
        helper.make_node("Slice", ["point", "first", "second", "xy_axis"], ["x"]),
        helper.make_node("Slice", ["point", "second", "two", "xy_axis"], ["y"]),
        helper.make_node("Sub", ["columns", "x"], ["right"]),
        helper.make_node("Sub", ["rows", "y"], ["down"]),
        helper.make_node("Mul", ["right", "right"], ["right_squared"]),
        helper.make_node("Mul", ["down", "down"], ["down_squared"]),
        helper.make_node("Add", ["right_squared", "down_squared"], ["distance_squared"]),
        helper.make_node("Sub", ["reach", "distance_squared"], ["disc"]),
        helper.make_node("ReduceMean", ["embedding"], ["brightness"], keepdims=0),
        helper.make_node("Mul", ["brightness", "zero"], ["nothing"]),
        helper.make_node("Add", ["disc", "nothing"], ["logits"]),
    ]
    embedding_shape = ["image", num_channels, INPUT_SIZE, INPUT_SIZE]
    graph = helper.make_graph(
        nodes,
        "decoder",
        [
            helper.make_tensor_value_info("embedding", TensorProto.FLOAT, embedding_shape),
            helper.make_tensor_value_info("image_index", TensorProto.INT64, ["prompt"]),
            helper.make_tensor_value_info("points", TensorProto.FLOAT, ["prompt", "point", 2]),
            helper.make_tensor_value_info("point_labels", TensorProto.INT64, ["prompt", "point"]),
        ],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["prompt", "row", "column"])],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )
    return _model(graph)


def _model(graph: onnx.GraphProto) -> onnx.ModelProto:
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=9)
    onnx.checker.check_model(model)
    return model
