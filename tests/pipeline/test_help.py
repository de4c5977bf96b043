"""`--help` of every command is fast, because it loads nothing heavy."""

import subprocess
import sys

# Not pydantic: Typer itself loads it.
HEAVY = {"torch", "mlflow", "dvc", "pandas", "av", "matplotlib", "PIL", "pyarrow"}

SCRIPT = """
import sys
from typer.main import get_command
from typer.testing import CliRunner
from pipeline.__main__ import app

def names(command, path=()):
    yield path
    for name, child in getattr(command, "commands", {}).items():
        yield from names(child, (*path, name))

for words in names(get_command(app)):
    result = CliRunner().invoke(app, [*words, "--help"])
    loaded = set(sys.argv[1].split(",")) & set(sys.modules)
    print(" ".join(words) or "cvg", result.exit_code, *sorted(loaded), sep="|")
"""


def test_help_of_every_command_loads_nothing_heavy(root):
    command = [sys.executable, "-c", SCRIPT, ",".join(HEAVY)]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    rows = [line.split("|") for line in done.stdout.splitlines()]
    assert {name for name, *_ in rows} >= {"cvg", "extract", "train-vqgan", "data check", "ui"}
    for name, status, *loaded in rows:
        assert status == "0", f"{name} --help fails"
        assert not loaded, f"{name} --help loads {loaded}"


def test_command_without_arguments_shows_the_stages(root):
    done = subprocess.run(
        [sys.executable, "-m", "pipeline"], cwd=root, capture_output=True, text=True, check=False
    )
    assert "Stages, in the order of the pipeline" in done.stdout + done.stderr


def test_error_for_people_has_no_traceback(root, tmp_path):
    command = [sys.executable, "-m", "pipeline", "preset", "demo", "--params", str(tmp_path / "no")]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr.startswith("error: ")
    assert "Traceback" not in done.stderr
    debugged = subprocess.run(
        [*command, "--debug"], cwd=root, capture_output=True, text=True, check=False
    )
    assert "Traceback" in debugged.stderr
