"""First weights that have seen faces, taken out of a graph for TensorFlow.js."""

import json
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from benchmarks.shipped.face_weights import BLOCKS, give_statistics, read_graph, timm_weights
from numpy.typing import NDArray
from torch import nn
from torch.nn import functional

RANDOM = np.random.default_rng(0)


def test_a_graph_is_read_by_name_in_whole_and_half_floats(tmp_path: Path) -> None:
    half, whole = np.arange(6, dtype=np.float16), np.arange(4, dtype=np.float32) / 3
    entries = [
        {"name": "a", "shape": [2, 3], "dtype": "float32", "quantization": {"dtype": "float16"}},
        {"name": "b", "shape": [4], "dtype": "float32"},
    ]
    graph = tmp_path / "graph.json"
    graph.write_text(json.dumps({"weightsManifest": [{"paths": ["g.bin"], "weights": entries}]}))
    content = half.tobytes() + whole.tobytes()
    (tmp_path / "g.bin").write_bytes(content)
    read = read_graph(graph)
    assert read["a"].tolist() == [[0, 1, 2], [3, 4, 5]]
    np.testing.assert_array_equal(read["b"], whole)
    (tmp_path / "g.bin").write_bytes(content + b"more")
    with pytest.raises(ValueError, match="32 bytes of weights, expected 28"):
        read_graph(graph)


def test_a_norm_gets_statistics_and_the_answer_stays() -> None:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU6(), nn.Conv2d(8, 4, 1),
                            nn.BatchNorm2d(4))  # fmt: skip
    for norm in (network[1], network[4]):
        nn.init.uniform_(norm.weight, 0.5, 2)  # type: ignore[arg-type]
        nn.init.uniform_(norm.bias)  # type: ignore[arg-type]
    photos = torch.randn(16, 3, 12, 12) + 1
    first = network[0](photos)
    scaled = first * network[1].weight[:, None, None] + network[1].bias[:, None, None]  # type: ignore[index]
    second = network[3](functional.relu6(scaled))
    expected = second * network[4].weight[:, None, None] + network[4].bias[:, None, None]  # type: ignore[index]
    give_statistics(network, photos)
    torch.testing.assert_close(network.eval()(photos), expected, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(network[1].running_mean, first.mean((0, 2, 3)))
    torch.testing.assert_close(network.train()(photos), expected, rtol=1e-4, atol=1e-4)


def test_the_network_is_that_of_the_graph_but_for_the_edges() -> None:
    graph = _graph()
    network = timm.create_model("mobilenetv1_100", num_classes=0)
    missing = network.load_state_dict(timm_weights(graph), strict=False).missing_keys
    assert {key.rpartition(".")[2] for key in missing} == {"running_mean", "running_var"}
    colours = torch.rand(8, 3, 64, 64) * 2 - 1
    give_statistics(network, colours)
    with torch.inference_mode():
        stem = network.eval().bn1(network.conv_stem(colours))
    # the graph takes blue first, each colour less its mean
    kernel = torch.from_numpy(graph["conv1/convolution/merged_input"].transpose(3, 2, 0, 1).copy())
    raw = functional.conv2d(colours.flip(1) * 127.5, kernel, stride=2, padding=1)
    shift = torch.from_numpy(graph["conv1_bn/batchnorm_1/sub"])[:, None, None]
    torch.testing.assert_close(stem, functional.relu6(raw + shift), rtol=1e-3, atol=1e-3)


def _graph() -> dict[str, NDArray[np.float32]]:
    """Return random weights by the names of the graph."""
    graph = {
        "conv1/convolution/merged_input": _random(3, 3, 3, 32) / 127.5,
        "conv1_bn/batchnorm_1/sub": _random(32),
    }
    width = 32
    for number in range(1, sum(BLOCKS) + 1):
        wider = {1: 64, 2: 128, 3: 128, 4: 256, 5: 256, 12: 1024, 13: 1024}.get(number, 512)
        graph[f"conv_dw_{number}/depthwise_kernel"] = _random(3, 3, width, 1)
        graph[f"conv_dw_{number}_bn/batchnorm_1/mul"] = abs(_random(width))
        graph[f"conv_dw_{number}_bn/batchnorm_1/sub"] = _random(width)
        graph[f"conv_pw_{number}/convolution/merged_input"] = _random(1, 1, width, wider) / 10
        graph[f"conv_pw_{number}_bn/batchnorm_1/sub"] = _random(wider)
        width = wider
    return graph


def _random(*shape: int) -> NDArray[np.float32]:
    return RANDOM.standard_normal(shape).astype(np.float32)
