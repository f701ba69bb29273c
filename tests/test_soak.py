"""The benchmark that attacks and kills, in small."""

from pathlib import Path

import pytest
from benchmarks.soak import __main__ as soak
from benchmarks.soak.kills import drawn_people, kept_decisions


def test_an_attack_is_a_row(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.argv", ["soak", "--only", "ppm comment"])
    soak.main()
    header, row = capsys.readouterr().out.splitlines()
    assert header.split() == ["attack", "sent", "MB", "memory", "MB", "waited", "s"]
    sent, memory, waited = map(float, row.split()[-3:])
    assert sent > 70
    assert 50 < memory < 400
    assert waited > 0


def test_decisions_of_a_page_that_was_killed_are_kept(tmp_path: Path) -> None:
    made, kept = kept_decisions(drawn_people(tmp_path), tmp_path, kills=1)
    assert made == kept > 0
