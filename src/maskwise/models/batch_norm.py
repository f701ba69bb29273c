"""Batch normalisation over the photos of all processes, on any device.

Without it two processes with half a batch each would train another model than one with the whole
batch. torch's own `SyncBatchNorm` runs on accelerators only.
"""

import torch
import torch.distributed as dist
from torch import nn
from torch.distributed.nn.functional import all_reduce
from torch.nn.modules.batchnorm import _BatchNorm


class _AcrossProcesses(_BatchNorm):
    """Mixed into a batch norm class: in training, statistics come from all processes."""

    def forward(self, input: torch.Tensor) -> torch.Tensor:  # noqa: A002 # as torch names it
        if not self.training:
            return super().forward(input)
        axes = [0, *range(2, input.ndim)]
        shape = [1, -1] + [1] * (input.ndim - 2)
        values = input.float()
        count = torch.tensor(float(input.numel() // input.shape[1]), device=input.device)
        dist.all_reduce(count)
        mean = all_reduce(values.sum(axes)) / count
        centred = values - mean.view(shape)
        variance = all_reduce(centred.square().sum(axes)) / count
        self._track(mean.detach(), variance.detach() * count / (count - 1).clamp(min=1))
        normalised = centred * torch.rsqrt(variance + self.eps).view(shape)
        if self.affine:
            normalised = normalised * self.weight.view(shape) + self.bias.view(shape)
        output: torch.Tensor = normalised.to(input.dtype)
        # timm fuses an activation into its batch norm
        for name in ("drop", "act"):
            if hasattr(self, name):
                output = getattr(self, name)(output)
        return output

    def _track(self, mean: torch.Tensor, variance: torch.Tensor) -> None:
        if self.running_mean is None or self.running_var is None:
            return
        momentum = self.momentum
        if self.num_batches_tracked is not None:
            self.num_batches_tracked += 1
            if momentum is None:
                momentum = 1 / float(self.num_batches_tracked)
        self.running_mean.lerp_(mean, momentum or 0.0)
        self.running_var.lerp_(variance, momentum or 0.0)


def synchronise_batch_norm(model: nn.Module) -> None:
    """Make every batch norm of a model use the statistics of all processes, in place."""
    for module in model.modules():
        if isinstance(module, _BatchNorm) and not isinstance(module, _AcrossProcesses):
            kind = type(module)
            # the class is swapped, not the module: names of weights stay as they are
            module.__class__ = type(kind.__name__, (_AcrossProcesses, kind), {})
