"""The forms that a graph can have beside float32: smaller ones, made from its file."""

import logging
from pathlib import Path

import onnx
import onnxruntime

FORMS = ("float32", "int8", "float16")
"""In float32 as trained; weights in 8 bits for CPUs; everything in half precision for GPUs."""


def check_forms(forms: list[str]) -> None:
    """Raise unless every form is known and can be measured on this machine.

    Raises:
        ValueError: A form is unknown, named twice, or float16 without a GPU to measure it on.
    """
    if not forms or len(set(forms)) != len(forms) or not set(forms) <= set(FORMS):
        raise ValueError(f"forms={forms}: expected some of {', '.join(FORMS)}, each once.")
    has_gpu = "CUDAExecutionProvider" in onnxruntime.get_available_providers()
    if "float16" in forms and not has_gpu:
        raise ValueError(
            "forms=float16 is for GPUs, and no form leaves without having been measured: this "
            f"onnxruntime has {', '.join(onnxruntime.get_available_providers())} only. Export on a "
            "machine with a GPU and the package onnxruntime-gpu, or leave float16 out."
        )


def name_in_form(file_name: str, form: str) -> str:
    """Return the name of a graph's file in a form: `encoder.onnx` is `encoder.int8.onnx`."""
    return file_name if form == "float32" else f"{Path(file_name).stem}.{form}.onnx"


def write_form(float32: Path, form: str) -> str:
    """Write a graph in another form beside its float32 file, and return the new file's name."""
    path = float32.with_name(name_in_form(float32.name, form))
    if form == "int8":
        _write_int8(float32, path)
    else:
        _write_float16(float32, path)
    return path.name


def _write_int8(float32: Path, path: Path) -> None:
    """Store the weights of matrix products and convolutions in 8 bits.

    What they are multiplied with is rounded to 8 bits as it comes (`dynamic`), so no data is needed
    for it. Weights are unsigned, because onnxruntime's convolution on CPUs takes no others.
    """
    from onnxruntime.quantization import QuantType, quantize_dynamic  # noqa: PLC0415

    graphs = onnx.load(float32)
    del graphs.graph.value_info[:]  # shapes that no longer hold where it turns weights round
    # It advises there to prepare graphs in a way that torch's have no need of.
    root = logging.getLogger()
    level = root.level
    root.setLevel(logging.ERROR)
    try:
        quantize_dynamic(graphs, path, weight_type=QuantType.QUInt8)
    finally:
        root.setLevel(level)


def _write_float16(float32: Path, path: Path) -> None:
    """Store weights and compute in half precision; inputs and outputs stay float32."""
    from onnxruntime.transformers.float16 import convert_float_to_float16  # noqa: PLC0415

    onnx.save(convert_float_to_float16(onnx.load(float32), keep_io_types=True), path)
