"""A stand-in for an exported model without prompts: a real ONNX graph that finds what is bright.

Its first category is the pixels brighter than half, its second the others. It is written in
milliseconds, and a test can say beforehand which pixels must come out.
"""

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from evaluation.deployable.folder import new_deployable, write_json
from evaluation.deployable.predict import FORMAT_NAME, FORMAT_VERSION

from .disc_deployable import INPUT_SIZE, OPSET


def write_bright_deployable(
    folder: Path, *, categories: tuple[str, str] = ("bright", "dark")
) -> Path:
    """Write a deployable that finds the bright and the dark part of an image, in that order."""
    preprocessing = {
        "format": FORMAT_NAME,
        "format_version": FORMAT_VERSION,
        "kind": "automatic",
        "model": "bright",
        "config_hash": None,
        "input_size": INPUT_SIZE,
        "fit": "squash",
        "num_channels": 1,
        "padding": None,
        "threshold_logit": 0.0,
        "prompt_kinds": [],
        "categories": list(categories),
        "judges_presence": True,
        "graphs": {"float32": {"automatic": "automatic.onnx"}},
    }
    with new_deployable(folder, overwrite=False) as partial:
        onnx.save(_graph(), partial / "automatic.onnx")
        write_json(partial / "preprocessing.json", preprocessing)
    return folder


def _graph() -> onnx.ModelProto:
    constants = {
        "half": np.float32(0.5),
        "one": np.int64(1),
        "zero": np.float32(0.0),
        "plane": np.array([2, 3], np.int64),
        "category_axis": np.array([1], np.int64),
    }
    nodes = [
        helper.make_node("Sub", ["images", "half"], ["bright"]),
        helper.make_node("Neg", ["bright"], ["dark"]),
        helper.make_node("Concat", ["bright", "dark"], ["logits"], axis=1),
        helper.make_node("ReduceMax", ["logits", "plane"], ["presence"], keepdims=0),
        helper.make_node("ArgMax", ["logits"], ["likeliest"], axis=1, keepdims=0),
        helper.make_node("Add", ["likeliest", "one"], ["numbered"]),
        helper.make_node("ReduceMax", ["logits", "category_axis"], ["highest"], keepdims=0),
        helper.make_node("Greater", ["highest", "zero"], ["is_found"]),
        helper.make_node("Cast", ["is_found"], ["found"], to=TensorProto.INT64),
        helper.make_node("Mul", ["numbered", "found"], ["labels"]),
        helper.make_node("Cast", ["labels"], ["label_map"], to=TensorProto.UINT8),
    ]
    plane = [INPUT_SIZE, INPUT_SIZE]
    graph = helper.make_graph(
        nodes,
        "automatic",
        [helper.make_tensor_value_info("images", TensorProto.FLOAT, ["image", 1, *plane])],
        [
            helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["image", 2, *plane]),
            helper.make_tensor_value_info("label_map", TensorProto.UINT8, ["image", *plane]),
            helper.make_tensor_value_info("presence", TensorProto.FLOAT, ["image", 2]),
        ],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=9)
    onnx.checker.check_model(model)
    return model
