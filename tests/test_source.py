"""What the source never does: unpickle, evaluate or give to a shell what comes from outside."""

import ast
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
ALLOWED = {
    # Between a process and its own children, through a pipe that nobody else has.
    ("cvg/videos/pool.py", "pickle.loads"),
}
FORBIDDEN = {
    *("pickle.load", "pickle.loads", "pickle.Unpickler", "torch.load", "joblib.load"),
    *("yaml.load", "yaml.unsafe_load", "yaml.full_load", "os.system", "os.popen"),
    *("eval", "exec", "compile", "marshal.loads", "shelve.open"),
}
FLAGS = {("shell", True), ("allow_pickle", True), ("weights_only", False)}


def name_of(node):
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
        return f"{node.value.id}.{node.attr}"
    return ""


def complaints(source, where):
    """List the calls of a module that are forbidden."""
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.Call):
            continue
        name = name_of(node.func)
        is_restricted = any(
            keyword.arg == "weights_only" and ast.unparse(keyword.value) == "True"
            for keyword in node.keywords
        )
        if name in FORBIDDEN and (where, name) not in ALLOWED and not is_restricted:
            yield f"{where}:{node.lineno}: {name}"
        for keyword in node.keywords:
            if isinstance(keyword.value, ast.Constant) and (
                (keyword.arg, keyword.value.value) in FLAGS
            ):
                yield f"{where}:{node.lineno}: {keyword.arg}={keyword.value.value}"


def test_the_source_does_none_of_it():
    found = []
    for package in ("cvg", "pipeline"):
        for path in sorted((ROOT / package).rglob("*.py")):
            where = path.relative_to(ROOT).as_posix()
            found += complaints(path.read_text(encoding="utf-8"), where)
    assert found == []


def test_the_scan_sees_what_it_looks_for():
    source = "import torch, subprocess\ntorch.load(x)\nsubprocess.run(x, shell=True)\neval(x)\n"
    assert list(complaints(source, "x.py")) == [
        "x.py:2: torch.load",
        "x.py:3: shell=True",
        "x.py:4: eval",
    ]
    assert list(complaints("re.compile(x)\nyaml.load(x)\n", "x.py")) == ["x.py:2: yaml.load"]
