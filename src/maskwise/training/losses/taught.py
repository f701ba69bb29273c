"""The loss of a teacher's probabilities."""

import torch


def taught_loss(scores: torch.Tensor, wanted: torch.Tensor, temperature: float) -> torch.Tensor:
    """Return (m,): T^2 KL(q_T || p_T), of scores (m, classes) against probabilities (m, classes).

    q_T and p_T are the teacher's and the model's probabilities at temperature T (Hinton, Vinyals &
    Dean, 2015, 'Distilling the Knowledge in a Neural Network', section 2).
    """
    log_p = torch.log_softmax(scores / temperature, dim=1)
    log_q = torch.log_softmax(wanted.clamp(min=1e-8).log() / temperature, dim=1)
    return temperature**2 * (log_q.exp() * (log_q - log_p)).sum(dim=1)
