"""Each stage of dvc.yaml depends on exactly the code that it imports."""

import shlex
import shutil
import sys
from pathlib import Path

import grimp
import pytest

from cvg.params import read_tree, round_trip_yaml

ROOT = Path(__file__).resolve().parents[1]
ALLOWED = {
    "cvg.config": "holds names, types and bounds; values are in params.yaml, which DVC watches",
    "cvg.params": "reads params.yaml; what it gives is checked by cvg.config",
    "cvg.errors": "texts for people",
    "cvg.progress": "lines for people",
    "cvg.tracking": "records what a stage gives, gives nothing back",
    "cvg.files": "how bytes get to the disk, not which",
    "cvg.interrupts": "when a stage ends early, not what it gives",
    "cvg.launch": "which of several processes speaks and writes",
    "cvg.locks": "who may write at a time",
    "cvg.mapping": "who makes which part, not what is in it",
    "cvg.remote": "how bytes get here from elsewhere, not which",
    "cvg.training.device": "where tensors live",
    "cvg.training.messages": "lines for people",
    "pipeline.mapped": "who makes which part, not what is in it",
    "pipeline.stage": "opens parameters and the record; results are made elsewhere",
}


def stage_modules(root):
    """Give the module of each stage's command, and the code files and folders of its deps."""
    stages = read_tree(root / "dvc.yaml")["stages"]
    for name, stage in stages.items():
        stage = stage.get("do", stage)
        words = shlex.split(stage["cmd"])
        command = words[words.index("pipeline/run") + 1]
        code = {dep for dep in stage["deps"] if dep.startswith(("cvg/", "pipeline/"))}
        yield name, f"pipeline.{command.replace('-', '_')}", code


def imports(root, monkeypatch):
    # Of a package that is imported already, the one that is imported would be looked at.
    for package in ("pipeline", "cvg"):
        monkeypatch.delitem(sys.modules, package, raising=False)
    monkeypatch.syspath_prepend(str(root))
    return grimp.build_graph("pipeline", "cvg", exclude_type_checking_imports=True, cache_dir=None)


def source(root, module):
    path = root / module.replace(".", "/")
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")


def is_allowed(root, module):
    file = source(root, module)
    is_empty_package = file.name == "__init__.py" and not file.read_text().strip()
    return is_empty_package or any(f"{module}.".startswith(f"{name}.") for name in ALLOWED)


def reached(root, graph, module):
    """Give the files that a stage runs, as paths relative to the root.

    What only an allowed module imports cannot change results either, so it is not followed.
    """
    found, waiting = set(), {module}
    while waiting:
        current = waiting.pop()
        found.add(current)
        imported = graph.find_modules_directly_imported_by(current) - found
        waiting |= {name for name in imported if not is_allowed(root, name)}
    return {source(root, name).relative_to(root) for name in found}


def covers(dep, file):
    return Path(dep) == file or Path(dep) in file.parents


def complaints(root, monkeypatch):
    graph = imports(root, monkeypatch)
    for name, module, code in stage_modules(root):
        files = reached(root, graph, module)
        for file in sorted(files):
            if not any(covers(dep, file) for dep in code):
                yield f"{name}: imports {file}; add it to deps in dvc.yaml"
        for dep in sorted(code):
            if not any(covers(dep, file) for file in files):
                yield f"{name}: imports nothing of {dep}; remove it from deps in dvc.yaml"


@pytest.fixture
def copy(tmp_path):
    """A copy of the code, to be spoilt."""
    for name in ("cvg", "pipeline"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("*.pyc"))
    shutil.copy(ROOT / "dvc.yaml", tmp_path)
    return tmp_path


def test_each_stage_depends_on_exactly_what_it_imports(monkeypatch):
    assert list(complaints(ROOT, monkeypatch)) == []


def test_import_that_no_dep_covers_is_found(copy, monkeypatch):
    before = set(complaints(copy, monkeypatch))
    (copy / "cvg/novelty.py").write_text("VALUE = 1\n")
    # Inside a function, where only a reader of the source finds it.
    text = (copy / "cvg/videos/timing.py").read_text()
    later = "def later() -> int:\n    from cvg.novelty import VALUE\n\n    return VALUE\n"
    (copy / "cvg/videos/timing.py").write_text(f"{text}\n\n{later}")
    found = set(complaints(copy, monkeypatch)) - before
    assert "extract: imports cvg/novelty.py; add it to deps in dvc.yaml" in found


def test_dep_that_no_import_reaches_is_found(copy, monkeypatch):
    before = set(complaints(copy, monkeypatch))
    tree = read_tree(copy / "dvc.yaml")
    tree["stages"]["extract"]["deps"].append("cvg/metrics")
    round_trip_yaml().dump(tree, copy / "dvc.yaml")
    found = set(complaints(copy, monkeypatch)) - before
    assert found == {"extract: imports nothing of cvg/metrics; remove it from deps in dvc.yaml"}


def test_allowed_modules_exist():
    for module in ALLOWED:
        assert source(ROOT, module).is_file(), f"{module} is gone; take it off the list"
