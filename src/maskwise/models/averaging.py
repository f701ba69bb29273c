"""Models whose weights are the mean of others'."""

from collections.abc import Iterable, Mapping, Sequence

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

Weights = Mapping[str, torch.Tensor]


def mean_weights(models: Sequence[Weights]) -> dict[str, torch.Tensor]:
    """Return the mean of models' weights by name; whole numbers, such as counters, of the first.

    Izmailov et al., 2018, 'Averaging Weights Leads to Wider Optima', equation 1; of runs apart it
    is a model soup (Wortsman et al., 2022). Statistics of batch norms are not those of the mean:
    see `estimate_statistics`.
    """
    first = models[0]
    return {
        name: torch.stack([model[name].double() for model in models]).mean(dim=0).to(value.dtype)
        if value.is_floating_point()
        else value.clone()
        for name, value in first.items()
    }


def estimate_statistics(model: nn.Module, batches: Iterable[torch.Tensor]) -> None:
    """Set the running statistics of batch norms to the means over batches of normalised photos.

    Each batch (n, channels, height, width) counts by its photos, so a small last one does not
    weigh as much as the others. Dropout is off; the mode that the model is in is restored.
    """
    norms = [
        module
        for module in model.modules()
        if isinstance(module, _BatchNorm) and module.track_running_stats
    ]
    if not norms:
        return
    momenta = [norm.momentum for norm in norms]
    was_training = model.training
    model.eval()
    for norm in norms:
        norm.train()
    seen = 0
    with torch.inference_mode():
        for photos in batches:
            seen += len(photos)
            for norm in norms:
                norm.momentum = len(photos) / seen
            model(photos)
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
    model.train(was_training)
