"""What a console that lacks characters shows."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

MAIN = "import maskwise.cli; maskwise.cli.main()"
EMOJI, KOREAN = "\U0001f600", "\uae40"


def run(*words: object, encoding: str) -> subprocess.CompletedProcess[bytes]:
    environment = {**os.environ, "PYTHONIOENCODING": encoding}
    return subprocess.run(
        [sys.executable, "-c", MAIN, *map(str, words)],
        env=environment, capture_output=True, check=False,
    )  # fmt: skip


@pytest.mark.parametrize("encoding", ["cp949", "ascii", "utf-8"])
def test_names_that_a_console_lacks_are_escaped(tmp_path: Path, encoding: str) -> None:
    folder = tmp_path / f"{EMOJI}{KOREAN}"
    folder.mkdir()
    (folder / "a.jpg").write_bytes(b"x")
    (folder / "labels.csv").write_text("path,mask,text\na.jpg,wear,x\n", encoding="utf-8")
    done = run("data", "import", folder / "labels.csv", "--out", folder / "m.csv", "--json",
               encoding=encoding)  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.decode(encoding))["manifest"] == str(folder / "m.csv")
    table = run("data", "import", folder / "labels.csv", "--out", folder / "n.csv",
                encoding=encoding)  # fmt: skip
    assert table.returncode == 0, table.stderr
    refused = run("data", "import", folder / "none", encoding=encoding)
    assert refused.returncode == 2
    assert b"Traceback" not in refused.stderr
    escaped = folder.name.encode(encoding, "backslashreplace")
    assert escaped in refused.stderr or folder.name.encode() in refused.stderr
