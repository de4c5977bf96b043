"""The README's commands run; those that would install are looked up."""

import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PYTHON = re.compile(r"```python\n(.*?)```", re.DOTALL)
BLOCK = re.compile(r"```(?:console|bash|sh)\n(.*?)```", re.DOTALL)


def readme_commands():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    for block in BLOCK.findall(text):
        for line in block.splitlines():
            command = line.partition("  #")[0].strip()
            if command:
                yield command


COMMANDS = list(dict.fromkeys(readme_commands()))


def test_there_are_commands_to_check():
    assert len(COMMANDS) >= 12


@pytest.mark.parametrize("command", [c for c in COMMANDS if c.startswith("make ")])
def test_make_targets_exist(command):
    words = shlex.split(command)
    done = subprocess.run([words[0], "-n", *words[1:]], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


ELSEWHERE = {
    "cvg ui": "tests/pipeline/test_ui.py",  # it runs until it is stopped
    "cvg plan --preset huge --devices 8": "tests/pipeline/test_plan_command.py",
}


@pytest.mark.slow
@pytest.mark.ci
def test_the_commands_run_in_the_order_of_the_readme(own_chain):
    videos = own_chain.folder / "videos"
    videos.mkdir()
    shutil.copy(own_chain.folder / "data/manifest.csv", videos)
    params = own_chain.folder / "params.yaml"
    before = params.read_text(encoding="utf-8")
    for command in COMMANDS:
        if command.startswith("make ") or command in ELSEWHERE:
            continue
        own_chain.run(command)
        # A preset or an experiment leaves its values behind; the next command starts from quick.
        params.write_text(before, encoding="utf-8")


@pytest.mark.slow
@pytest.mark.ci
@pytest.mark.parametrize("page", ["README.md", "docs/transformers.md"])
def test_the_python_of_the_documents_runs(chain, page):
    blocks = PYTHON.findall((ROOT / page).read_text(encoding="utf-8"))
    assert blocks
    for number, block in enumerate(blocks):
        script = chain.folder / f"block_{number}.py"
        # The quick models write smaller frames than the comment says.
        script.write_text(f"{block}\nassert video.shape == (48, 32, 32, 3)\n", encoding="utf-8")
        chain.run(f"python {script.name}")


@pytest.mark.slow
@pytest.mark.ci
def test_the_example_runs(chain):
    said = chain.run("python docs/example.py")
    assert "a video of HEAD (8, 32, 32, 3)" in said
    assert (chain.folder / ".runs/example/continued.gif").is_file()


def test_every_link_in_the_documents_leads_somewhere():
    pages = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
    missing = [
        f"{page.relative_to(ROOT)}: {target}"
        for page in pages
        for target in re.findall(r"\]\(([^)#]+)\)", page.read_text(encoding="utf-8"))
        if "://" not in target and not (page.parent / target).exists()
    ]
    assert not missing
