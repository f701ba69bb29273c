"""Depthwise convolutions that train faster on CPUs."""

from typing import Any, Final

import torch
from timm.layers import Conv2dSame
from timm.layers.padding import pad_same
from torch import nn
from torch.autograd.function import FunctionCtx
from torch.nn import functional as nnf

_WIDTH: Final = 3
"""Of the widest kernels whose weights' gradients oneDNN computes by code made for them."""

Pair = tuple[int, int]


def hasten_depthwise(backbone: nn.Module) -> None:
    """Let depthwise convolutions of a backbone take another way to the same gradients.

    They compute in 32 bits also where the rest is in 16 (autocast): on CPUs with units for bf16,
    ordinary convolutions gain several times by these, while depthwise ones lose. Of kernels wider
    than 3 the weights' gradients are computed in strips.
    """
    for module in backbone.modules():
        if isinstance(module, nn.Conv2d) and module.groups == module.in_channels > 1:
            kind = type(module)
            module.__class__ = type(f"Hastened{kind.__name__}", (_Hastened, kind), {})


class _Hastened(nn.Conv2d):
    """A class, put before that of a layer, as a function put on a layer would not be copied."""

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        with torch.autocast(values.device.type, enabled=False):
            values = values.float()
            if not self._in_strips():
                return super().forward(values)
            padding = self.padding
            if isinstance(self, Conv2dSame):
                padding = (0, 0)
                values = pad_same(values, self.kernel_size, self.stride)
            given: torch.Tensor = _InStrips.apply(values, self.weight, self.stride, padding)
            return given if self.bias is None else given + self.bias[:, None, None]

    def _in_strips(self) -> bool:
        width = self.kernel_size[1]
        return (
            width > _WIDTH
            and width % 2 == 1
            and self.dilation == (1, 1)
            and self.in_channels == self.out_channels
            and self.padding_mode == "zeros"
            and not isinstance(self.padding, str)
        )


class _InStrips(torch.autograd.Function):
    """A depthwise convolution; its weights' gradient is computed for three columns at a time."""

    @staticmethod
    def forward(
        ctx: FunctionCtx, values: torch.Tensor, weight: torch.Tensor, stride: Pair, padding: Pair
    ) -> torch.Tensor:
        ctx.save_for_backward(values, weight)
        ctx.stride, ctx.padding = stride, padding  # type: ignore[attr-defined]
        return nnf.conv2d(values, weight, None, stride, padding, 1, len(weight))

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        (given,) = gradients
        values, weight = ctx.saved_tensors
        of_values = of_weight = None
        if ctx.needs_input_grad[0]:
            of_values = _gradients(given, values, weight, ctx.stride, ctx.padding, 0)
        if ctx.needs_input_grad[1]:
            of_weight = _weight_gradient(given, values, weight, ctx.stride, ctx.padding)
        return of_values, of_weight, None, None


def _gradients(
    given: torch.Tensor,
    values: torch.Tensor,
    weight: torch.Tensor,
    stride: Pair,
    padding: Pair,
    wanted: int,
) -> torch.Tensor:
    """Return the gradient of the values (0), or of the weight (1)."""
    mask = [wanted == 0, wanted == 1, False]
    transposed, groups = False, len(weight)
    found: torch.Tensor = torch.ops.aten.convolution_backward(
        given, values, weight, None, stride, padding, (1, 1), transposed, (0, 0), groups, mask
    )[wanted]
    return found


def _weight_gradient(
    given: torch.Tensor, values: torch.Tensor, weight: torch.Tensor, stride: Pair, padding: Pair
) -> torch.Tensor:
    """Return the gradient of a weight (channels, 1, rows, columns); strips share a column."""
    rows = stride[0] * (given.shape[2] - 1) + weight.shape[2]
    columns = stride[1] * (given.shape[3] - 1) + _WIDTH
    below = rows - values.shape[2] - padding[0]
    gradient = torch.empty_like(weight)
    for first in range(0, weight.shape[3] - 1, _WIDTH - 1):
        left = padding[1] - first
        seen = nnf.pad(values, (left, columns - values.shape[3] - left, padding[0], below))
        strip = slice(first, first + _WIDTH)
        gradient[..., strip] = _gradients(given, seen, weight[..., strip], stride, (0, 0), 1)
    return gradient
