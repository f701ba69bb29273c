"""Light commands start fast and work without a training framework."""

import os
import resource
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
BLOCK = (
    "import sys\n"
    "class Refuse:\n"
    "    def find_spec(self, name, path=None, target=None):\n"
    "        if name.split('.')[0] in {'torch', 'timm', 'kornia', 'accelerate', 'safetensors'}:\n"
    "            raise ModuleNotFoundError(f'No module named {name!r}', name=name.split('.')[0])\n"
    "sys.meta_path.insert(0, Refuse())\n"
)
MAIN = "import maskwise.cli\nmaskwise.cli.main()"


def run_without_torch(script: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", BLOCK + script], capture_output=True, text=True, check=False
    )


def light_modules() -> list[str]:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())
    contracts = settings["tool"]["importlinter"]["contracts"]
    modules: list[str] = next(
        contract["source_modules"] for contract in contracts if contract["type"] == "forbidden"
    )
    return modules


def test_light_modules_import_without_torch() -> None:
    modules = light_modules()
    assert len(modules) > 15
    done = run_without_torch("\n".join(f"import {name}" for name in ["maskwise", *modules]))
    assert done.returncode == 0, done.stderr


def test_architecture_page_marks_the_light_modules() -> None:
    page = (ROOT / "docs" / "architecture.md").read_text()
    for name in light_modules():
        if name.count(".") > 1 and not name.endswith(("drawn", "worn", "charts")):
            line = next(text for text in page.splitlines() if f"{name.split('.')[-1]}.py" in text)
            assert " light " in line, name


def test_data_commands_work_without_torch(tmp_path: Path) -> None:
    words = ["data", "samples", str(tmp_path / "s"), "--people", "1", "--eval-people", "1"]
    done = run_without_torch(
        f"sys.argv = ['maskwise', *{words}]\nimport maskwise.cli as c\nc.main()"
    )
    assert done.returncode == 0, done.stderr


def test_training_without_torch_says_what_to_install(tmp_path: Path) -> None:
    words = ["train", "m.csv", "--out", str(tmp_path / "r")]
    done = run_without_torch(
        f"sys.argv = ['maskwise', *{words}]\nimport maskwise.cli as c\nc.main()"
    )
    assert done.returncode == 2
    assert "pip install 'maskwise[train]'" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("words", [["--help"], ["data", "--help"], ["--version"]])
def test_help_is_quick(words: list[str]) -> None:
    help_of = ["-m", "maskwise", *words]
    libraries = ["-c", "import typer, rich.table, rich.markdown"]  # what any such program imports
    own, least = (
        min(processor_seconds(command) for _ in range(3)) for command in (help_of, libraries)
    )
    # a ratio, as processors differ and the machine may be busy with other tests
    assert own < 2.5 * least
    code = (
        f"import sys\nsys.argv = ['maskwise', *{words}]\nfrom maskwise.cli import app\n"
        "try:\n    app()\nexcept SystemExit:\n    pass\n"
        f"print(sorted(set({SLOW!r}) & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


SLOW = ("torch", "polars", "scipy", "matplotlib", "sklearn", "onnxruntime", "fastapi", "PIL")
"""Libraries that take long to import, and that help does not need."""


def processor_seconds(words: list[str]) -> float:
    """Return the processor time that Python takes with some arguments."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run([sys.executable, *words], capture_output=True, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert done.stdout or words[0] == "-c"
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def test_onnx_runtime_tells_nobody(tmp_path: Path) -> None:
    code = "import maskwise; maskwise.load()"
    home = {"HOME": str(tmp_path), "PATH": os.environ["PATH"]}
    subprocess.run([sys.executable, "-c", code], env=home, check=True)
    assert list(tmp_path.iterdir()) == []  # it would keep an identity of this machine there
