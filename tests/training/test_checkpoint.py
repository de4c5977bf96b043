"""Checkpoints on disk: what comes back, what is kept, what a damaged one does."""

import json
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from cvg.training.checkpoint import Checkpoints, pack, tensors_of, unpack

DTYPES = (torch.float32, torch.float64, torch.bfloat16, torch.int64, torch.uint8, torch.bool)
tensors = st.builds(
    lambda dtype, shape, seed: (
        100 * torch.rand(shape, generator=torch.Generator().manual_seed(seed))
    ).to(dtype),
    st.sampled_from(DTYPES),
    st.lists(st.integers(0, 3), max_size=3).map(tuple),
    st.integers(0, 9),
)
values = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text()
trees = st.recursive(
    values | tensors,
    lambda inner: (
        st.dictionaries(st.text() | st.integers(), inner, max_size=3)
        | st.lists(inner, max_size=3)
        | st.lists(inner, max_size=3).map(tuple)
    ),
    max_leaves=12,
)


def same(one, other):
    """Equal in value, type, order of keys; tensors in type, shape and every element."""
    if isinstance(one, torch.Tensor):
        return one.dtype == other.dtype and torch.equal(one, other)
    if type(one) is not type(other):
        return False
    if isinstance(one, dict):
        return list(one) == list(other) and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(same, one, other))
    return one == other


@settings(deadline=None, max_examples=200)
@given(st.dictionaries(st.text(), trees, max_size=4))
def test_every_tree_comes_back(tree):
    assert same(unpack(pack(tree)), tree)


@settings(deadline=None, max_examples=15)
@given(tree=st.dictionaries(st.text(), trees, max_size=4), step=st.integers(0, 10**9 - 1))
def test_every_tree_comes_back_from_disk(tmp_path_factory, tree, step):
    checkpoints = Checkpoints(tmp_path_factory.mktemp("checkpoints") / "new")
    checkpoints.save(step, tree)
    found = checkpoints.latest()
    assert found is not None
    assert found[0] == step
    assert same(found[1], tree)


def test_infinity_comes_back():
    assert unpack(pack({"value": math.inf})) == {"value": math.inf}


def test_the_state_of_an_optimizer_comes_back():
    weight = torch.nn.Parameter(torch.ones(2))
    optimizer = torch.optim.AdamW([weight], lr=0.1, betas=(0.9, 0.99))
    weight.sum().backward()
    optimizer.step()
    assert same(unpack(pack(optimizer.state_dict())), optimizer.state_dict())


def test_tensors_that_share_memory_and_views_come_back():
    base = torch.arange(6.0).reshape(2, 3)
    tree = {"base": base, "again": base, "row": base[1], "turned": base.T}
    assert same(unpack(pack(tree)), tree)


def test_a_packed_state_does_not_follow_later_steps():
    weight = torch.zeros(2)
    packed = pack({"weight": weight})
    weight += 1
    assert unpack(packed)["weight"].tolist() == [0, 0]


@pytest.mark.parametrize("value", [{1, 2}, object(), torch.float32, b"bytes"])
def test_what_cannot_come_back_is_refused(value):
    with pytest.raises(TypeError, match="a checkpoint holds no"):
        pack({"a": [value]})


@pytest.mark.parametrize("key", [1.5, None, True, (1, 2)])
def test_a_key_that_cannot_come_back_is_refused(key):
    with pytest.raises(TypeError, match="holds no key of type"):
        pack({"a": {key: 1}})


def test_all_tensors_of_a_tree_are_found():
    tree = {"a": torch.tensor(1), "b": [torch.tensor(2), ({"c": torch.tensor(3)}, 4)]}
    assert [tensor.item() for tensor in tensors_of(tree)] == [1, 2, 3]


def test_the_last_two_are_kept(tmp_path):
    checkpoints = Checkpoints(tmp_path)
    for step in (1, 2, 9, 10, 100):
        checkpoints.save(step, {"step": step})
    assert sorted(path.name[:14] for path in tmp_path.iterdir()) == [
        "step-000000010",
        "step-000000100",
    ]
    assert checkpoints.latest() == (100, {"step": 100})


def spoil(path):
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


def test_a_damaged_one_falls_back_to_the_one_before(tmp_path, capsys):
    checkpoints = Checkpoints(tmp_path)
    for step in (3, 6):
        checkpoints.save(step, {"weight": torch.ones(4)})
    spoil(checkpoints.newest())
    found = checkpoints.latest()
    assert found is not None
    assert found[0] == 3
    told = capsys.readouterr().err
    assert told.startswith("WARNING: checkpoint ")
    assert "step-000000006" in told
    assert checkpoints.latest() is not None
    assert capsys.readouterr().err == ""  # it is said once


def test_two_damaged_ones_are_as_good_as_none(tmp_path, capsys):
    checkpoints = Checkpoints(tmp_path)
    for step in (3, 6):
        checkpoints.save(step, {"weight": torch.ones(4)})
    for path in list(tmp_path.iterdir()):
        spoil(path)
    assert checkpoints.latest() is None
    assert capsys.readouterr().err.count("is damaged") == 2


def test_no_checkpoint_is_none(tmp_path):
    checkpoints = Checkpoints(tmp_path / "not-there")
    assert checkpoints.latest() is None
    assert checkpoints.newest() is None


def test_other_files_are_left_alone(tmp_path):
    (tmp_path / "step-by-step.md").touch()
    checkpoints = Checkpoints(tmp_path)
    for step in (1, 2, 3):
        checkpoints.save(step, {})
    assert checkpoints.latest() == (3, {})
    assert (tmp_path / "step-by-step.md").exists()


def test_what_a_killed_process_left_half_written_goes_with_the_next_one(tmp_path):
    (tmp_path / ".new.partial-4711.safetensors").write_bytes(b"half")
    Checkpoints(tmp_path).save(1, {})
    assert len(list(tmp_path.iterdir())) == 1


def test_a_write_that_fails_leaves_the_last_one(tmp_path, monkeypatch):
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save(1, {"a": 1})

    def full(tensors, path):
        path.write_bytes(b"half")
        raise OSError("no space left")

    monkeypatch.setattr("cvg.training.checkpoint.save_file", full)
    with pytest.raises(OSError, match="no space"):
        checkpoints.save(2, {"a": 2})
    assert len(list(tmp_path.iterdir())) == 1
    assert checkpoints.latest() == (1, {"a": 1})


def test_the_file_is_no_pickle(tmp_path):
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save(1, {"a": torch.ones(1)})
    content = checkpoints.newest().read_bytes()
    length = int.from_bytes(content[:8], "little")
    assert set(json.loads(content[8 : 8 + length])) == {"0", "tree"}
