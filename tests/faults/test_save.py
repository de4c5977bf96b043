"""A process that dies at any call of a save leaves the state of before, or the new one."""

import os
import shutil
from pathlib import Path

import torch

from cvg import files
from cvg.training import checkpoint
from cvg.training.checkpoint import Checkpoints

# What a save does to the disk: the functions through which it does so.
CALLS = (
    (Path, "touch"),
    (Path, "open"),
    (Path, "replace"),
    (Path, "unlink"),
    (files.os, "fsync"),
    (checkpoint, "save_file"),
)


def die_at(number, act):
    """Run `act` in a child that dies around its n-th call; give whether there were as many.

    Even numbers die before a call, odd ones after it; a file is half written before it is whole,
    and a folder half removed before it is gone.
    """
    pid = os.fork()
    if pid == 0:
        count = iter(range(10_000))

        def dying(function):
            def call(*arguments, **options):
                if next(count) == number:
                    os._exit(9)
                result = function(*arguments, **options)
                if next(count) == number:
                    os._exit(9)
                return result

            return call

        whole = checkpoint.save_file

        def half_first(tensors, path):
            whole(tensors, path)
            size = Path(path).stat().st_size
            os.truncate(path, size // 2)
            if next(count) == number:
                os._exit(9)
            whole(tensors, path)

        whole_tree = shutil.rmtree

        def half_tree(path, **options):
            for file in sorted(Path(path).glob("*"))[:1]:
                file.unlink()
            if next(count) == number:
                os._exit(9)
            whole_tree(path, **options)

        checkpoint.save_file = half_first
        files.shutil.rmtree = half_tree
        for owner, name in CALLS:
            setattr(owner, name, dying(getattr(owner, name)))
        status = 1
        try:
            act()
            status = 0
        finally:
            os._exit(status)
    _, how = os.waitpid(pid, 0)
    status = os.waitstatus_to_exitcode(how)
    assert status in (0, 9)
    return status == 9


def state(step):
    return {"weights": torch.full((50,), float(step)), "step": step}


def test_a_checkpoint_is_there_wherever_its_save_was_cut_off(tmp_path, account, capsys):
    number, survived = 0, 0
    while True:
        folder = tmp_path / str(number)
        kept = Checkpoints(folder)
        for step in (1, 2):  # so that the third also removes one
            kept.save(step, state(step))
        if not die_at(number, lambda kept=kept: kept.save(3, state(3))):
            break
        step, found = Checkpoints(folder).latest()
        assert step in (2, 3)
        assert found["step"] == step
        assert torch.equal(found["weights"], state(step)["weights"])
        Checkpoints(folder).save(4, state(4))  # and the next one leaves nothing of it
        assert not [path for path in folder.iterdir() if ".partial-" in path.name]
        assert Checkpoints(folder).latest()[0] == 4
        survived += 1
        number += 1
    assert "damaged" not in capsys.readouterr().err
    assert number > 10
    account.add("death at each call of a checkpoint's save", tried=number, survived=survived)


def test_a_file_and_a_folder_are_old_or_new_wherever_their_writing_was_cut_off(tmp_path, account):
    def write(text):
        with files.replacing_folder(tmp_path / "out", marker="m") as folder:
            files.write_json(folder / "m", text)
            files.write_json(folder / "other", text)
        files.write_json(tmp_path / "figures.json", text)

    number = 0
    write("old")
    while die_at(number, lambda: write("new")):
        assert files.read_json(tmp_path / "figures.json") in ("old", "new")
        out = tmp_path / "out"
        assert not out.is_dir() or files.read_json(out / "m") in ("old", "new")
        write("old")
        assert sorted(path.name for path in tmp_path.iterdir()) == ["figures.json", "out"]
        number += 1
    assert number > 10
    account.add("death at each call of a replacement", tried=number, survived=number)
