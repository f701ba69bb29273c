"""Worker processes, started from wherever the library is used."""

import logging
import subprocess
import sys
from multiprocessing import current_process
from pathlib import Path

import pytest

from maskwise.data import workers
from maskwise.data.workers import map_in_order, worker_pool
from people import person, saved

SCRIPT = """
import maskwise, sys
print("begun")
model = maskwise.load()
found = list(model.predict_many([sys.argv[1]] * 66, workers=2))
print(len(found), {one.error for one in found})
"""


def test_a_script_needs_no_guard(tmp_path: Path) -> None:
    photo = saved(person(1), tmp_path / "photo.png")
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    done = subprocess.run(
        [sys.executable, str(script), str(photo)], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "begun\n66 {''}\n"  # once: no worker ran the script
    piped = subprocess.run(
        [sys.executable, "-", str(photo)], input=SCRIPT, capture_output=True, text=True, check=False
    )
    assert piped.stdout == done.stdout


@pytest.fixture
def untold() -> None:
    workers._tell_of_threads.cache_clear()


@pytest.mark.usefixtures("untold")
def test_a_daemon_works_in_threads_and_says_so_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setitem(current_process()._config, "daemon", True)
    with caplog.at_level(logging.WARNING):
        for _ in range(2):
            assert list(map_in_order(abs, [-1, 2, -3], 2, chunk=1, few=0)) == [1, 2, 3]
    assert len(caplog.records) == 1
    assert "threads do their work" in caplog.text


@pytest.mark.usefixtures("untold")
def test_a_system_without_semaphores_works_in_threads(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def none(*_: object, **__: object) -> None:
        raise OSError(38, "Function not implemented")

    monkeypatch.setattr(workers, "ProcessPoolExecutor", none)
    with worker_pool(2) as pool:
        assert pool.submit(abs, -4).result() == 4
    assert "Function not implemented" in caplog.text
