"""ONNX files that somebody else made: sealed as any may be, and no networks of Maskwise."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper

from maskwise.errors import RunError
from maskwise.models.loading import SHIPPED
from maskwise.models.onnx_classifier import OnnxClassifier
from maskwise.models.onnx_file import SEAL, UNSEALED, seal
from maskwise.models.tensors import write_tensors
from maskwise.models.views import Views

SHAPES = {"mask": 3, "gender": 2, "age_group": 3, "classes": 18, "age": 0}
Graph = onnx.ModelProto


def network(
    sizes: dict[str, int] = SHAPES, stated: dict[str, int] = SHAPES, rows: str = "n"
) -> Graph:
    """Return a network whose outputs have some sizes and state others; as metadata the bundled's.

    `rows` are as many as the photos (n), or of a shape that it makes up.
    """
    shipped = onnx.load(SHIPPED)
    frames = shipped.graph.input[0]
    nodes = [helper.make_node("Shape", ["frames"], ["shape"], start=0, end=1)]
    if rows != "n":
        nodes = [helper.make_node("Constant", [], ["shape"], value_ints=[int(rows)])]
    outputs = []
    for name, size in sizes.items():
        width = [size] if size else []
        nodes.append(helper.make_node("Constant", [], [f"{name}_width"], value_ints=width or [1]))
        nodes.append(
            helper.make_node("Concat", ["shape", f"{name}_width"], [f"{name}_shape"], axis=0)
        )
        shape = f"{name}_shape" if size else "shape"
        nodes.append(helper.make_node("ConstantOfShape", [shape], [name]))
        says = ["n", stated[name]] if stated[name] else ["n"]
        outputs.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, says))
    graph = helper.make_graph(nodes, "made", [frames], outputs)
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    for entry in shipped.metadata_props:
        value = UNSEALED if entry.key == SEAL else entry.value
        made.metadata_props.add(key=entry.key, value=value)
    return made


def sealed(graph: Graph, path: Path) -> Path:
    seal(graph.SerializeToString(), path)
    return path


def answer(path: Path) -> object:
    classifier = OnnxClassifier.load(path)
    side = classifier.info.preprocess
    pixels = np.zeros((2, side.height, side.width, 3), np.uint8)
    return classifier.answer({side.frame_key: pixels}, Views.named("1"))


def test_a_network_of_the_right_shapes_answers(tmp_path: Path) -> None:
    answer(sealed(network(), tmp_path / "made.onnx"))


def wide(graph: Graph) -> None:
    graph.graph.input[0].type.tensor_type.shape.dim[1].dim_value = 7


def nameless(graph: Graph) -> None:
    graph.graph.output.pop(0)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (wide, r"frames: expected tensor\(uint8\) \(n, 168, 136, 3\), found .*7, 136, 3"),
        (nameless, "mask: expected .*found None"),
    ],
)
def test_files_that_state_other_shapes_are_refused_before_they_run(
    tmp_path: Path, change: Callable[[Graph], None], said: str
) -> None:
    graph = network()
    change(graph)
    with pytest.raises(RunError, match=rf"(?s)made\.onnx is no network of Maskwise.*{said}"):
        OnnxClassifier.load(sealed(graph, tmp_path / "made.onnx"))


def test_every_wrong_output_is_named(tmp_path: Path) -> None:
    wrong = {**SHAPES, "gender": 3, "classes": 200_000_000}
    with pytest.raises(RunError, match=r"(?s)gender: expected.*classes: expected"):
        OnnxClassifier.load(sealed(network(wrong, wrong), tmp_path / "made.onnx"))


@pytest.mark.filterwarnings("ignore")
def test_files_whose_outputs_are_not_as_stated_are_refused(tmp_path: Path) -> None:
    wrong = {**SHAPES, "gender": 3}
    with pytest.raises(
        RunError, match=r"other outputs than it states:\n.*gender: float32 \(2, 3\)"
    ):
        answer(sealed(network(wrong), tmp_path / "made.onnx"))
    with pytest.raises(RunError, match=r"made\.onnx (cannot be run|gives other outputs)"):
        answer(sealed(network(rows="1000000000000"), tmp_path / "made.onnx"))


def test_weights_in_other_files_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The runtime would read them from the folder that somebody happens to be in."""
    graph = network()
    weights = numpy_helper.from_array(np.ones(4, np.float32), "weights")
    weights.ClearField("raw_data")
    weights.data_location = TensorProto.EXTERNAL
    weights.external_data.add(key="location", value="secrets.bin")
    graph.graph.initializer.append(weights)
    (tmp_path / "secrets.bin").write_bytes(np.ones(4, np.float32).tobytes())
    monkeypatch.chdir(tmp_path)
    with pytest.raises(RunError, match=r"made\.onnx keeps weights in other files"):
        OnnxClassifier.load(sealed(graph, tmp_path / "made.onnx"))


def test_weights_are_as_readable_as_other_files(tmp_path: Path) -> None:
    write_tensors(tmp_path / "model.safetensors", {"weight": torch.zeros(2)})
    (tmp_path / "other").touch()
    modes = {(tmp_path / name).stat().st_mode for name in ("model.safetensors", "other")}
    assert len(modes) == 1
