import contextlib
import dataclasses
import json
import logging

import jaxtyping
import numpy as np
import onnx
import onnxruntime
import pytest
import torch

from evaluation import (
    DeployablePredictor,
    GateConfig,
    HeldOut,
    ModelOrigin,
    SegmenterPredictor,
    evaluate_corpus,
    export_deployable,
)
from evaluation.deployable.export import gate_refusal
from evaluation.deployable.folder import opened_bytes
from evaluation.deployable.graph_forms import check_forms
from evaluation.deployable.onnx_export import export_graphs
from evaluation.deployable.parity import parity_of_rows
from evaluation.deployable.predict import Prompt, Segmenter, frame_image
from model import Prompts, build_segmenter, load_segmenter
from shards import open_corpus
from tests.support.corpora import write_toy_corpus
from tests.support.evaluation_records import make_record
from tests.support.named_corpus import PATIENTS, write_named_corpus
from tests.support.preset_contract import AUTOMATIC, built


def small_segmenter():
    torch.manual_seed(3)
    return build_segmenter("samus_tiny", depth=2, global_blocks=(1,)).eval()


@contextlib.contextmanager
def without_type_checks():
    """Tracing hands symbolic integers around, which the type-checking hook takes for a mistake."""
    jaxtyping.config.update("jaxtyping_disable", True)
    try:
        yield
    finally:
        jaxtyping.config.update("jaxtyping_disable", False)


@pytest.fixture(scope="session")
def exported(tmp_path_factory):
    folder = tmp_path_factory.mktemp("export")
    corpus = write_named_corpus(str(folder / "corpus"))
    origin = ModelOrigin(
        model_name="toy-model",
        checkpoint="toy-run/step-00000001",
        training_sources=corpus.manifest.sources,
    )
    gate = GateConfig(max_dice_loss=0.5)
    held_out = HeldOut(corpus=corpus, protocol="centre_point", gate=gate)
    with without_type_checks():
        return export_deployable(
            small_segmenter(),
            folder / "deployable",
            origin=origin,
            held_out=held_out,
            forms=["float32", "int8"],
        )


@pytest.mark.slow
def test_the_folder_holds_all_that_was_promised(exported):
    names = {path.name for path in exported.folder.iterdir()}
    assert names == {
        "checksums.json",
        "decoder.int8.onnx",
        "decoder.onnx",
        "encoder.int8.onnx",
        "encoder.onnx",
        "evaluation.json",
        "model_card.md",
        "predict.py",
        "preprocessing.json",
        "requirements.txt",
        "weights",
    }
    trained_on_from = load_segmenter(exported.folder / "weights").state_dict()
    expected = small_segmenter().state_dict()
    assert all(torch.equal(trained_on_from[name], expected[name]) for name in expected)
    evaluation = json.loads((exported.folder / "evaluation.json").read_text())
    assert evaluation["forms"]["float32"]["parity"] == dataclasses.asdict(exported.first.parity)
    assert evaluation["summary"]["overall"]["num_rows"] == 6
    preprocessing = json.loads((exported.folder / "preprocessing.json").read_text())
    assert preprocessing["categories"] == ["square"]
    assert preprocessing["versions"]["torch"] == torch.__version__.split("+")[0]


@pytest.mark.slow
def test_graphs_answer_as_the_model_does_on_held_out_images(exported):
    assert exported.first.parity.num_objects == 6
    assert exported.first.parity.mean_dice_difference <= 0.001
    assert exported.first.parity.max_logit_difference < 1e-4
    assert exported.first.parity.mean_dice == pytest.approx(
        exported.first.parity.mean_dice_of_model, abs=1e-3
    )


@pytest.mark.slow
@pytest.mark.parametrize("num_images", [1, 3])
@pytest.mark.parametrize(("num_prompts", "num_points"), [(1, 1), (2, 1), (1, 4), (7, 3)])
def test_numbers_of_images_prompts_and_points_are_free(
    exported, num_images, num_prompts, num_points
):
    segmenter = small_segmenter()
    generator = torch.Generator().manual_seed(num_prompts)
    images = torch.rand(num_images, 3, 64, 64, generator=generator)
    points = torch.rand(num_prompts, num_points, 2, generator=generator) * 64
    labels = torch.randint(0, 2, (num_prompts, num_points), generator=generator)
    labels[:, 1:] = torch.tensor([2, 3, -1])[: num_points - 1]
    index = torch.randint(0, num_images, (num_prompts,), generator=generator)
    masks = torch.randn(num_prompts, 1, segmenter.mask_size, segmenter.mask_size)
    asked = {"image_index": index, "point_labels": labels, "has_mask": index > 0}
    prompts = Prompts(**asked, points=points, mask_logits=masks)
    exact_prompts = Prompts(**asked, points=points.double(), mask_logits=masks.double())
    with torch.inference_mode():
        rounded = segmenter(images, prompts).low_resolution_logits[:, 0].numpy()
        exact = segmenter.double()(images.double(), exact_prompts).low_resolution_logits[:, 0]
    encoder = onnxruntime.InferenceSession(exported.folder / "encoder.onnx")
    decoder = onnxruntime.InferenceSession(exported.folder / "decoder.onnx")
    names = [output.name for output in encoder.get_outputs()]
    features = encoder.run(names, {"images": images.numpy()})
    asked |= {"points": points, "mask_logits": masks}
    inputs = dict(zip(names, features, strict=True))
    found = decoder.run(None, inputs | {name: value.numpy() for name, value in asked.items()})[0]
    # The graph may round as torch does. Norms of random weights amplify that, so it is measured.
    rounding = np.abs(rounded - exact.numpy()).max()
    assert rounding < 1e-4
    assert np.abs(found - exact.numpy()).max() < 1e-6 + 4 * rounding


@pytest.mark.slow
def test_a_prompt_gives_the_same_mask_alone_and_beside_longer_ones(exported):
    segmenter = Segmenter(exported.folder)
    image = np.random.default_rng(0).integers(0, 256, (50, 70, 3), dtype=np.uint8)
    short, long = Prompt(points=[(20, 30)]), Prompt(points=[(9, 9), (5, 6)], box=(1, 2, 40, 40))
    alone = segmenter.logits(image, prompts=[short])[0]
    beside = segmenter.logits(image, prompts=[long, short])[1]
    assert np.abs(alone - beside).max() < 1e-5


@pytest.mark.slow
def test_the_card_says_what_must_be_known(exported):
    card = (exported.folder / "model_card.md").read_text()
    for needed in [
        "# toy-model",
        "Not a medical device",
        "toy-run/step-00000001",
        "CC0-1.0",
        "centre_point",
        "parameters) segments",
        "6 objects in 6 images of 3 subjects",
        "peak memory of the process",
        "| int8 |",
        f"{exported.opened_bytes / 1e6:.1f} MB",
    ]:
        assert needed in card
    assert str(exported.folder.parent) not in card
    assert "nan" not in card


@pytest.mark.slow
def test_no_name_of_an_image_or_subject_leaves_with_the_folder(exported):
    assert exported.first.records[0].subject.startswith(PATIENTS)
    files = [path for path in exported.folder.rglob("*") if path.is_file()]
    assert len(files) > 12
    for path in files:
        content = path.read_bytes().lower()
        assert not [name for name in PATIENTS if name.encode() in content], path


@pytest.mark.slow
def test_a_failed_gate_writes_nothing_and_each_phase_is_told(tmp_path, caplog):
    caplog.set_level(logging.INFO, logger="evaluation.deployable.export")
    write_toy_corpus(str(tmp_path / "corpus"), num_samples=2)
    held_out = HeldOut(
        corpus=open_corpus(str(tmp_path / "corpus")),
        protocol="automatic",
        gate=GateConfig(min_mean_dice=1.0),
    )
    origin = ModelOrigin(model_name="toy", checkpoint="toy", training_sources=[])
    message = r"gate\.min_mean_dice demands 1\..* Nothing was written"
    with without_type_checks(), pytest.raises(ValueError, match=message):
        export_deployable(
            build_segmenter("unet_tiny", categories=("square",)).eval(),
            tmp_path / "deployable",
            origin=origin,
            held_out=held_out,
        )
    assert {path.name for path in tmp_path.iterdir()} == {"corpus"}
    told = [one.message for one in caplog.records if one.levelname == "INFO"]
    assert [message.split(",")[0].split(" on ")[0] for message in told] == [
        "Tracing the graphs",
        "Measuring the model in torch",
        "Measuring the float32 graphs",
    ]


@pytest.mark.slow
def test_scores_of_graphs_and_model_are_equal_by_object(tmp_path, exported):
    write_toy_corpus(str(tmp_path), num_samples=4)
    corpus = open_corpus(str(tmp_path))
    predictors = [DeployablePredictor(exported.folder), SegmenterPredictor(small_segmenter())]
    by_graph, by_model = (
        evaluate_corpus(predictor, corpus, protocol="box", model_name="toy")
        for predictor in predictors
    )
    assert [row.dice for row in by_graph] == pytest.approx([row.dice for row in by_model], abs=1e-3)


@pytest.mark.slow
def test_int8_graphs_are_smaller_and_answer_nearly_alike(exported):
    def size(form):
        graphs = json.loads((exported.folder / "preprocessing.json").read_text())["graphs"][form]
        return sum((exported.folder / name).stat().st_size for name in graphs.values())

    assert size("int8") < 0.75 * size("float32")
    image = np.random.default_rng(0).integers(0, 256, (50, 70, 3), dtype=np.uint8)
    float32, int8 = (
        Segmenter(exported.folder, form=form).logits(image, prompts=[Prompt(points=[(20, 30)])])
        for form in ("float32", "int8")
    )
    assert 0 < np.abs(float32 - int8).max() < 0.25 * np.abs(float32).max()
    with pytest.raises(ValueError, match="has no form float16; it has float32, int8"):
        Segmenter(exported.folder, form="float16")


@pytest.mark.slow
def test_graphs_hold_no_weights_of_heads_that_no_output_needs(exported):
    decoder = onnx.load(exported.folder / "decoder.onnx")
    names = {weight.name for weight in decoder.graph.initializer}
    assert any("transformer" in name for name in names)
    assert any("mask_downscaling" in name for name in names)  # earlier masks can be given
    assert not [name for name in names if "iou_prediction" in name]


def of_constants_alone(path):
    """Return the nodes of a graph that nothing which is put in has a part in."""
    graph = onnx.load(path).graph
    reached, alone = {value.name for value in graph.input}, []
    for node in graph.node:
        if reached & set(node.input):
            reached |= set(node.output)
        else:
            alone.append(node)
    return alone, {weight.name for weight in graph.initializer}


@pytest.mark.slow
def test_positions_are_a_constant_of_the_graph(exported):
    nodes, weights = of_constants_alone(exported.folder / "encoder.onnx")
    assert not [name for name in weights if "refinement" in name]
    assert not [node for node in nodes if node.op_type in ("Conv", "MaxPool", "Resize")]


@pytest.mark.slow
@pytest.mark.parametrize("name", AUTOMATIC)
def test_a_model_without_prompts_becomes_one_graph_that_finds_every_category(tmp_path, name):
    write_toy_corpus(str(tmp_path / "corpus"), num_samples=4)
    corpus = open_corpus(str(tmp_path / "corpus"))
    segmenter = built(name, is_shallow=True, categories=("square", "other")).eval()
    origin = ModelOrigin(model_name="toy", checkpoint="toy", training_sources=[])
    held_out = HeldOut(corpus=corpus, protocol="automatic", gate=GateConfig())
    with without_type_checks():
        exported = export_deployable(
            segmenter,
            tmp_path / "deployable",
            origin=origin,
            held_out=held_out,
            include_weights=False,
        )
    graphs = [path.name for path in exported.folder.glob("*.onnx")]
    assert graphs == ["automatic.onnx"]
    assert exported.first.parity.max_logit_difference < 1e-3
    image = np.random.default_rng(0).integers(0, 256, (50, 70), dtype=np.uint8)
    found = Segmenter(exported.folder).find(image)
    (expected,) = SegmenterPredictor(segmenter).predict_automatic([image])
    assert found["masks"].shape == (2, 50, 70)
    assert (found["masks"] == (expected.logits > 0)).mean() > 0.99
    assert set(np.unique(found["label_map"])) <= {0, 1, 2}
    assert (found["label_map"] > 0).sum() == found["masks"].any(axis=0).sum()
    of_graph, of_find = maps_of_one_size(exported.folder)
    assert len(np.unique(of_graph)) > 1
    assert (of_graph == of_find).mean() > 0.999
    if expected.presence_logits is not None:
        assert found["presence"] == pytest.approx(1 / (1 + np.exp(-expected.presence_logits)))
    with pytest.raises(ValueError, match="call find, without prompts"):
        Segmenter(exported.folder).segment(image, points=[(3, 3)])


def maps_of_one_size(folder):
    """Return the graph's own label map, and what `find` makes of an image as large as that map."""
    segmenter = Segmenter(folder)
    graph = onnxruntime.InferenceSession(folder / "automatic.onnx")

    def label_map(image):
        framed = frame_image(image, segmenter.preprocessing)[None]
        return np.asarray(graph.run(["label_map"], {"images": framed})[0])[0]

    size = label_map(np.zeros((50, 70), dtype=np.uint8)).shape
    image = np.random.default_rng(1).integers(0, 256, size, dtype=np.uint8)
    return label_map(image), segmenter.find(image)["label_map"]


@pytest.mark.slow
def test_the_student_opens_at_most_40_megabytes(tmp_path):
    with without_type_checks():
        graphs = export_graphs(build_segmenter("samus_student"), tmp_path)
    assert opened_bytes(tmp_path, graphs) <= 40e6


def test_forms_that_cannot_be_measured_here_are_refused():
    check_forms(["int8", "float32"])
    if "CUDAExecutionProvider" not in onnxruntime.get_available_providers():
        with pytest.raises(ValueError, match="no form leaves without having been measured"):
            check_forms(["float32", "float16"])
    for wrong in ([], ["float64"], ["int8", "int8"]):
        with pytest.raises(ValueError, match="expected some of float32, int8, float16"):
            check_forms(wrong)


def parity_of(dice_of_graphs, dice_of_model):
    def rows(name, scores):
        return [
            make_record(model=name, key=f"a__{index}", dice=dice)
            for index, dice in enumerate(scores)
        ]

    return parity_of_rows(
        rows("graphs", dice_of_graphs),
        rows("model", dice_of_model),
        max_logit_difference=0.0,
        num_logit_images=0,
    )


def test_differences_do_not_cancel_out_between_objects():
    parity = parity_of([0.8, 0.6], [0.7, 0.7])
    assert parity.mean_dice == pytest.approx(parity.mean_dice_of_model)
    assert parity.mean_dice_difference == pytest.approx(0.1)
    refusal = gate_refusal(parity, GateConfig(), form="float32")
    assert "differ from the model by 0.10000 mean Dice" in str(refusal)


def test_a_mask_that_one_of_them_leaves_empty_is_a_whole_difference():
    parity = parity_of([float("nan"), 0.5], [0.9, 0.5])
    assert parity.max_dice_difference == 1.0
    assert parity_of([float("nan"), 0.5], [float("nan"), 0.5]).max_dice_difference == 0.0


def test_a_model_below_the_demanded_score_is_refused():
    parity = parity_of([0.8, 0.6], [0.8, 0.6])
    assert gate_refusal(parity, GateConfig(min_mean_dice=0.7), form="float32") is None
    refusal = gate_refusal(parity, GateConfig(min_mean_dice=0.71), form="float32")
    assert "reach a mean Dice of 0.7000 on 2 held-out objects" in str(refusal)


def test_a_form_that_loses_in_one_category_is_refused_however_good_the_mean():
    def rows(name, dice_of_heads):
        return [
            make_record(model=name, key=f"a__{at}", subject=f"{at}", category=category, dice=dice)
            for category, scores in (("head", dice_of_heads), ("cyst", [0.9] * 40))
            for at, dice in enumerate(scores)
        ]

    parity = parity_of_rows(
        rows("graphs", [0.82, 0.80, 0.81]),
        rows("model", [0.90, 0.90, 0.90]),
        max_logit_difference=0.0,
        num_logit_images=0,
    )
    assert parity.dice_change.mean > -0.01
    refusal = gate_refusal(parity, GateConfig(max_dice_loss=0.02), form="int8")
    assert "change the mean Dice of head by -0.0900" in str(refusal)
    assert gate_refusal(parity, GateConfig(max_dice_loss=0.2), form="int8") is None


@pytest.mark.parametrize(
    "values", [{"max_dice_difference": -0.1}, {"min_mean_dice": 1.2}, {"min_mean_dice": -1.0}]
)
def test_a_gate_that_cannot_be_is_refused(values):
    with pytest.raises(ValueError, match=r"gate\."):
        GateConfig(**values)
