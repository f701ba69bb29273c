"""What is shown of training, where there is no screen for a bar: a line now and then."""

import io

import pytest
from rich.console import Console

from maskwise.training import display
from maskwise.training.display import TrainingDisplay


def test_each_run_of_several_has_its_own_bars(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(display, "_LOG_SECONDS", 0.0)
    written = io.StringIO()
    with TrainingDisplay(Console(file=written)) as shown:
        for _ in range(2):  # as in a cross-validation
            shown.decoded(30, 90)
            shown.decoded(60, 90)
            shown.epoch_started(1, 2, 90, 40)
            shown.step_done(10, 0.5, 0.1, 5)
            shown.epoch_started(2, 2, 90, 0)
            shown.step_done(10, 0.5, 0.1, 6)
    lines = [line.split("  ")[:2] for line in written.getvalue().splitlines() if line.strip()]
    run = [["decoding", "30/90"], ["decoding", "90/90"],
           ["epoch 1/2", "50/90"], ["epoch 2/2", "10/90"]]  # fmt: skip
    assert lines == run * 2
