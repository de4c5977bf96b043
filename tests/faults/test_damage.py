"""A file that was cut, changed, emptied or exchanged for a pickle is found, or was not used.

Each file that a stage reads is damaged in each way. The stage may refuse, in a sentence that names
the file. It may not end in a traceback, run what the file holds, or give other bytes silently.
"""

import os
import pickle
import shutil

import pytest

pytestmark = pytest.mark.slow
PICTURES = (".png", ".mp4", ".gif")
HEADERS = ("config.json", "samples.json", "store.json", "codes.json")
QUICK = ("tokenize", "train_critic")  # what CI looks at; `make faults` looks at all
STAGES = (
    *(pytest.param(name, marks=pytest.mark.ci) for name in QUICK),
    "train_vqgan",
    "check_vqgan",
    "train_transformer@top",
    "finetune",
    "check_transformers",
    "sample",
    "evaluate",
    "report",
)


class Bomb:
    def __init__(self, trace):
        self.trace = trace

    def __reduce__(self):
        return os.mkdir, (str(self.trace),)


def flipped(content):
    middle = len(content) * 2 // 3  # past headers, within the data of all but the smallest files
    return content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]


def damages(content, trace):
    huge_header = (1 << 40).to_bytes(8, "little") + content[8:]
    yield "cut", content[: len(content) // 2]
    yield "flipped", flipped(content)
    yield "emptied", b""
    yield "removed", None
    yield "a pickle", pickle.dumps(Bomb(trace))
    yield "a huge header", huge_header


def inputs(stage, folder):
    """Give the files that a stage reads, but no pictures, which nothing is computed from."""
    for dep in stage.data:
        path = folder / dep
        for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
            if (
                file.is_file()
                and file.is_relative_to(folder)
                and file.suffix not in (".png", ".mp4", ".gif")
            ):
                yield file


def is_told_to_people(file, how):
    """Say whether a file holds figures and texts, which have no checksum: they may be edited."""
    if file.name == "pictures.safetensors":
        return how == "flipped"
    is_text = file.suffix in (".json", ".csv") and file.name not in HEADERS
    return is_text and how in ("flipped", "cut", "emptied", "removed")


@pytest.mark.parametrize("name", STAGES)
def test_damage_is_found_or_does_no_harm(name, whole, zygote, account, tmp_path):
    stage = whole.stages[name]
    expected = whole.outputs(whole.folder, name)
    work = whole.copy(tmp_path / "work", without=name)
    trace, bad, tried = tmp_path / "trace", [], 0
    for file in inputs(stage, work):
        content = file.read_bytes()
        for how, damaged in damages(content, trace):
            shutil.rmtree(work / ".runs", ignore_errors=True)
            if damaged is None:
                file.unlink()
            else:
                file.write_bytes(damaged)
            status, said = zygote.attempt(stage.words, work)
            where = f"{file.relative_to(work)} {how}"
            if trace.exists():
                trace.rmdir()
                bad.append(f"{where}: was unpickled")
            is_named = file.name in said or file.parent.name in said or "A file of figures" in said
            if status == 2 and not is_named:
                bad.append(f"{where}: refused without its name: {said[-300:]}")
            elif (
                status == 0
                and not is_told_to_people(file, how)
                and whole.outputs(work, name) != expected
            ):
                bad.append(f"{where}: other bytes without a word")
            elif status not in (0, 2):
                bad.append(f"{where}: status {status}: {said[-600:]}")
            tried += 1
        file.write_bytes(content)
    account.add(f"files of {name} cut, changed, removed", tried=tried, survived=tried - len(bad))
    assert bad == []
    assert tried > 5
