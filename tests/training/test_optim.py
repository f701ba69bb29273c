"""Optimizers: which weights move at what rate, and that a resume moves them the same way."""

from pathlib import Path
from typing import get_args

import pytest
import torch
from torch.nn.functional import cross_entropy

from maskwise.config import ModelSettings, OptimSettings
from maskwise.config.optim import OptimizerName
from maskwise.errors import SettingsError
from maskwise.models.network import FaceModel
from maskwise.training.checkpoint import Progress, load_checkpoint, save_checkpoint
from maskwise.training.optim import backbone_stages, build_optimizer, check_stages, set_rates

NAMES = get_args(OptimizerName)


def tiny_model(backbone: str = "test_efficientnet", uncertainty: bool = False) -> FaceModel:
    torch.manual_seed(0)
    settings = ModelSettings(backbone=backbone, pretrained="none")
    return FaceModel(settings, (32, 32), uncertainty=uncertainty)


def build(model: FaceModel, **settings: object) -> torch.optim.Optimizer:
    return build_optimizer(model, OptimSettings(**settings))  # type: ignore[arg-type]


def rates(model: FaceModel, optimizer: torch.optim.Optimizer) -> dict[str, tuple[float, float]]:
    """Return the rate and the decay of each weight by name."""
    names = {id(value): name for name, value in model.named_parameters()}
    return {
        names[id(value)]: (group["lr"], group["weight_decay"])
        for group in optimizer.param_groups
        for value in group["params"]
    }


def backward(model: FaceModel) -> torch.Tensor:
    photos = torch.rand(4, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    truth = torch.tensor([0, 1, 1, 0])
    loss = torch.stack([cross_entropy(out, truth) for out in model(photos).values()]).sum()
    loss.backward()
    return loss.detach()


def steps(model: FaceModel, optimizer: torch.optim.Optimizer, count: int) -> None:
    def again() -> None:
        backward(model)

    for _ in range(count):
        optimizer.zero_grad()
        backward(model)
        optimizer.step(again if "rho" in optimizer.param_groups[0] else None)  # type: ignore[arg-type]


def test_rates_and_decay_of_every_weight() -> None:
    model = tiny_model(uncertainty=True)
    optimizer = build(model, lr=0.01, backbone_lr_factor=0.1, weight_decay=0.05)
    found = rates(model, optimizer)
    assert found.keys() == {name for name, _ in model.named_parameters()}
    assert found["heads.mask.weight"] == (0.01, 0.05)
    assert found["heads.mask.bias"] == (0.01, 0.0)
    assert found["log_variances"] == (0.01, 0.0)
    assert found["backbone.conv_stem.weight"] == pytest.approx((0.001, 0.05))
    assert found["backbone.bn1.weight"] == pytest.approx((0.001, 0.0))
    set_rates(optimizer, 0.5)
    assert rates(model, optimizer)["backbone.bn1.weight"][0] == pytest.approx(0.0005)


def test_layer_decay_lowers_the_rate_towards_the_photo() -> None:
    model = tiny_model("test_vit")
    found = rates(model, build(model, lr=1.0, backbone_lr_factor=0.5, layer_decay=0.5))
    first = found["backbone.patch_embed.proj.weight"][0]
    last = found["backbone.norm.weight"][0]
    assert last == pytest.approx(0.5)
    assert first < found["backbone.blocks.0.attn.qkv.weight"][0] < last
    assert found["backbone.pos_embed"][1] == 0  # as the backbone asks
    assert found["heads.gender.weight"][0] == 1.0


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("sam", [0.0, 0.05])
def test_every_optimizer_learns_and_resumes(name: str, sam: float, tmp_path: Path) -> None:
    settings = {"name": name, "sam": sam, "lr": 1e-3, "backbone_lr_factor": 0.5}
    model = tiny_model()
    optimizer = build(model, **settings)
    before = float(backward(model))
    steps(model, optimizer, 4)
    save_checkpoint(tmp_path, Progress(step=4), model.state_dict(), None, optimizer)
    steps(model, optimizer, 4)
    resumed = tiny_model()
    other = build(resumed, **settings)
    progress = load_checkpoint(tmp_path, resumed, None, other)
    assert progress is not None
    assert progress.step == 4
    steps(resumed, other, 4)
    expected = model.state_dict()
    assert all(torch.equal(value, expected[key]) for key, value in resumed.state_dict().items())
    assert float(backward(model)) < before


def test_momentum_acts_on_those_that_have_it() -> None:
    moved = {}
    for name in NAMES:
        ends = []
        for momentum in (0.1, 0.9):
            model = tiny_model()
            steps(model.eval(), build(model, name=name, momentum=momentum, lr=0.01), 3)
            ends.append(torch.cat([value.detach().flatten() for value in model.parameters()]))
        moved[name] = not torch.equal(*ends)
    assert {name for name in moved if moved[name]} == {"sgd", "nesterov", "sgdp", "madgrad", "muon"}


def test_sam_of_a_worked_case() -> None:
    """A step on 2 w^2 from w = 1: the gradient is that at w + rho, so 4 (1 + rho)."""
    model = tiny_model()
    for value in model.parameters():
        value.requires_grad = False
    weight = model.heads["mask"].bias
    weight.requires_grad = True
    with torch.no_grad():
        weight.copy_(torch.tensor([1.0, 0.0, 0.0]))
    optimizer = build(model, name="sgd", sam=0.1, lr=0.05, momentum=0.0)

    def gradient() -> None:
        optimizer.zero_grad()
        (2 * weight[0] ** 2).backward()

    gradient()
    optimizer.step(gradient)  # type: ignore[arg-type]
    assert weight[0].item() == pytest.approx(1 - 0.05 * 4 * 1.1, rel=1e-5)


def test_frozen_stages_stay_and_the_rest_moves() -> None:
    model = tiny_model()
    optimizer = build(model, frozen_stages=2, lr=0.1)
    before = {key: value.clone() for key, value in model.state_dict().items()}
    model.train()
    steps(model, optimizer, 2)
    still = {key for key, value in model.state_dict().items() if torch.equal(value, before[key])}
    frozen = [name for stage in backbone_stages(model.backbone)[:2] for name in stage]
    owners = {f"backbone.{name.rpartition('.')[0]}" for name in frozen}
    expected = {key for key in before if key.rpartition(".")[0] in owners}
    assert any(key.endswith("running_mean") for key in expected)
    assert expected <= still
    assert "backbone.conv_head.weight" not in still


def test_too_many_stages_are_refused() -> None:
    with pytest.raises(SettingsError, match=r"has \d stages, so \d at most"):
        check_stages(tiny_model(), OptimSettings(frozen_stages=40))
    model = tiny_model()
    model.backbone = torch.nn.Identity()
    with pytest.raises(SettingsError, match="does not tell stages apart"):
        check_stages(model, OptimSettings(frozen_stages=1))
    check_stages(model, OptimSettings())


def test_frozen_embeddings_do_not_put_a_whole_transformer_to_rest() -> None:
    model = tiny_model("test_vit")
    build(model, frozen_stages=1)
    model.train()
    assert not model.backbone.pos_embed.requires_grad  # type: ignore[union-attr]
    assert model.backbone.training
    assert model.backbone.blocks.training  # type: ignore[union-attr]
    assert not model.backbone.patch_embed.proj.training  # type: ignore[union-attr]
