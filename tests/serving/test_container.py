"""The container, as far as it can be tested without an engine."""

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import yaml

from maskwise.serving.settings import ServeSettings
from service import NO_TORCH, service

ROOT = Path(__file__).parents[2]
DOCKERFILE = (ROOT / "Dockerfile").read_text().replace("\\\n", " ")


WATCHED = """
import os
def watch(event, found):
    path, mode, flags = (*found, 0, 0)[:3] if event == "open" else ("", "", 0)
    if isinstance(path, str) and path != os.devnull and (
        set(mode or "") & set("wax+") or (flags or 0) & (os.O_WRONLY | os.O_RDWR)
    ):
        print("written", path, file=sys.stderr)
sys.addaudithook(watch)
"""
"""Tells what a process opens to write in."""


def instructions(name: str) -> list[str]:
    return re.findall(rf"^{name} (.*)$", DOCKERFILE, flags=re.MULTILINE)


def test_what_is_copied_is_let_in() -> None:
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    for line in instructions("COPY"):
        if "--from" not in line:
            *sources, _ = shlex.split(line)
            for source in sources:
                assert (ROOT / source).exists()
                assert f"!{source}" in ignored
    assert ignored[0] == "*"


def test_nobody_is_root_and_nothing_is_written() -> None:
    assert int(instructions("USER")[-1]) > 0
    (container,) = yaml.safe_load((ROOT / "compose.yaml").read_text())["services"].values()
    assert container["read_only"] is True
    assert container["cap_drop"] == ["ALL"]
    assert container["security_opt"] == ["no-new-privileges:true"]
    assert all(port.startswith("127.0.0.1:") for port in container["ports"])
    # longer than requests may take to come in and to be answered
    assert int(container["stop_grace_period"].rstrip("s")) > 2 * ServeSettings().seconds + 1


def test_its_command_runs_where_nothing_can_be_written(tmp_path: Path, face: bytes) -> None:
    (entry,) = instructions("ENTRYPOINT")
    command = json.loads(entry) + json.loads(instructions("CMD")[-1])
    assert command == ["maskwise", "serve"]
    variables = dict(part.split("=", 1) for part in shlex.split(instructions("ENV")[0]))
    (container,) = yaml.safe_load((ROOT / "compose.yaml").read_text())["services"].values()
    variables |= {name: str(value) for name, value in container["environment"].items()}
    settings = {name: value for name, value in variables.items() if name.startswith("MASKWISE_")}
    assert settings.pop("MASKWISE_PORT") == instructions("EXPOSE")[0]
    for folder in ("home", "tmp"):
        (tmp_path / folder).mkdir()
    environment = {**os.environ, **settings, "HOME": str(tmp_path / "home"),
                   "TMPDIR": str(tmp_path / "tmp"), "PYTHONDONTWRITEBYTECODE": "1"}  # fmt: skip
    # whatever is opened for writing, and be it removed at once
    watching = NO_TORCH.replace("main()\n", WATCHED + "main()\n")
    with service(environment=environment, script=watching) as running:
        assert running.predict(face)["faces"]
        check = re.search(r"CMD (\[.*\])", instructions("HEALTHCHECK")[0])
        assert check
        script = json.loads(check[1])[2]
        asked = {**os.environ, "MASKWISE_PORT": str(running.port)}
        subprocess.run([sys.executable, "-c", script], check=True, env=asked)
        said = running.stopped()
        assert "note: whoever reaches 0.0.0.0 may use it" in said
        assert "written" not in said
    assert list((tmp_path / "home").iterdir()) == []
    assert list((tmp_path / "tmp").iterdir()) == []


def test_the_wheel_holds_all_that_the_service_needs(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    (wheel,) = tmp_path.glob("*.whl")
    listed = subprocess.run(
        [sys.executable, "-m", "zipfile", "-l", str(wheel)],
        capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    for name in (
        "maskwise/models/shipped/maskwise.onnx",
        "maskwise/data/networks/yunet_n_dynamic.onnx",
        "maskwise/data/networks/yunet.LICENSE",
        "maskwise/serving/static/index.html",
        "maskwise/serving/static/main.js",
        "maskwise/evaluation/templates/report.html",
        "maskwise/recipes/best.yaml",
    ):
        assert name in listed
    assert "test_" not in listed
