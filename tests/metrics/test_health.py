"""A check of the VQGAN as a whole: names, gates, and what is on disk."""

import json
import math

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file

from cvg.errors import UserError
from cvg.files import write_json
from cvg.metrics.features import FeatureNetwork
from cvg.metrics.health import check_health, read_health, write_health
from cvg.metrics.names import flat_figures
from cvg.metrics.networks import Networks
from cvg.metrics.scores import Network

CPU = torch.device("cpu")
HASH = "ab" * 32
NETWORKS = Networks(
    features=FeatureNetwork(
        network=Network(name="toy", weights_sha256=HASH),
        embed=lambda clips: clips.astype(float).mean(axis=(2, 3)).reshape(len(clips), -1),
        min_frames=2,
        resize="none",
    ),
    missing=("lpips_alex is left out: no network",),
)


@pytest.fixture
def store(toys, tmp_path):
    return toys.write_frames(tmp_path / "frames")


def check(store, toys, *, levels=("top", "bottom"), networks=NETWORKS, **changes):
    params = toys.toy_params().check_vqgan.model_copy(update={"clips": 3, "frames": 5} | changes)
    vqgan = toys.toy_vqgan(levels=levels)
    return check_health(store, vqgan, networks, params=params, seed=0, device=CPU)


def test_figures_have_the_names_that_others_rely_on(store, toys):
    health = check(store, toys)
    assert {
        "vqgan.psnr",
        "vqgan.psnr_top",
        "vqgan.ssim",
        "vqgan.fvd_toy",
        "codes.top.usage",
        "codes.top.perplexity",
        "codes.top.still",
        "codes.bottom.usage",
        "codes.bottom.perplexity",
        "codes.bottom.still",
    } <= set(flat_figures(health.figures))
    assert all(math.isfinite(value) for value in flat_figures(health.figures).values())


def test_levels_stay_in_order_from_coarse_to_fine(store, toys, tmp_path):
    levels = ("top", "middle", "bottom")
    write_health(tmp_path / "out", check(store, toys, levels=levels), vqgan_hash=HASH)
    figures = json.loads((tmp_path / "out" / "figures.json").read_text())
    assert tuple(figures["codes"]) == levels
    pictures = load_file(tmp_path / "out" / "pictures.safetensors")
    assert {f"counts.{level}" for level in levels} <= set(pictures)
    assert {f"frames.{name}" for name in ("original", "full", "top", "middle")} <= set(pictures)
    assert "vqgan.psnr_middle" in flat_figures(figures)


def test_with_one_level_there_is_no_prefix(store, toys):
    health = check(store, toys, levels=("bottom",))
    assert not [name for name in flat_figures(health.figures) if name.endswith(("_top", "_middle"))]
    assert not [gate for gate in health.gates if gate.figure.endswith("_top")]


def test_gates_look_at_the_measured_figures(store, toys):
    health = check(store, toys, min_psnr=99.0, min_usage=0.0, min_perplexity=1.0)
    gates = {gate.figure: gate for gate in health.gates}
    flat = flat_figures(health.figures)
    measured = {figure: gate.value for figure, gate in gates.items() if gate.value is not None}
    assert measured == {figure: flat[figure] for figure in measured}
    assert gates["vqgan.psnr"].passed is False
    assert gates["codes.top.usage"].passed is True
    assert gates["codes.bottom.perplexity"].bound == toys.CODEBOOK
    assert gates["vqgan.lpips"].passed is None


def test_scores_of_clips_carry_their_protocol(store, toys):
    scores = check(store, toys).scores
    assert {score["candidate"] for score in scores} == {"vqgan"}
    names = {"fvd_toy", "kvd_toy", "motion_distance", "repeated"}
    assert {score["metric"] for score in scores} == names
    assert {score["protocol"]["clips"] for score in scores} == {3}


def test_absent_networks_and_figures_are_said(store, toys):
    absent = check(store, toys, frames=200).absent
    assert absent[0] == NETWORKS.missing[0]
    assert any("fvd is left out: no held-out segment" in sentence for sentence in absent)


def test_a_check_on_disk_is_the_same_bytes_twice(store, toys, tmp_path):
    for name in ("one", "two"):
        write_health(tmp_path / name, check(store, toys), vqgan_hash=HASH)
    files = sorted(path.name for path in (tmp_path / "one").iterdir())
    assert files == [
        "absent.json",
        "figures.json",
        "gates.json",
        "pictures.safetensors",
        "protocol.json",
        "vqgan.json",
    ]
    for name in files:
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


def test_pictures_on_disk_are_those_that_were_made(store, toys, tmp_path):
    health = check(store, toys)
    write_health(tmp_path / "out", health, vqgan_hash=HASH)
    found = load_file(tmp_path / "out" / "pictures.safetensors")
    assert set(found) == set(health.pictures)
    for name, picture in health.pictures.items():
        assert np.array_equal(found[name], picture), name


def test_another_bound_changes_the_gates_alone(store, toys, tmp_path):
    write_health(tmp_path / "one", check(store, toys, min_psnr=1.0), vqgan_hash=HASH)
    write_health(tmp_path / "two", check(store, toys, min_psnr=99.0), vqgan_hash=HASH)
    changed = [
        path.name
        for path in (tmp_path / "one").iterdir()
        if path.read_bytes() != (tmp_path / "two" / path.name).read_bytes()
    ]
    assert changed == ["gates.json"]


def test_later_stages_read_what_was_written(store, toys, tmp_path):
    health = check(store, toys)
    write_health(tmp_path / "out", health, vqgan_hash=HASH)
    checked = read_health(tmp_path / "out")
    assert checked.figures == health.figures
    assert checked.vqgan_hash == HASH


@pytest.mark.parametrize(
    ("name", "content"),
    [("figures.json", {"codes": {}}), ("figures.json", []), ("vqgan.json", {}), ("vqgan.json", 3)],
)
def test_a_folder_of_something_else_is_refused(store, toys, tmp_path, name, content):
    write_health(tmp_path / "out", check(store, toys), vqgan_hash=HASH)
    write_json(tmp_path / "out" / name, content)
    with pytest.raises(UserError, match=rf"{name}: found no .* run check-vqgan again"):
        read_health(tmp_path / "out")


def test_other_files_are_not_replaced(store, toys, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("keep")
    with pytest.raises(UserError, match=r"holds files, but no figures\.json"):
        write_health(tmp_path / "mine", check(store, toys), vqgan_hash=HASH)


def test_counts_are_those_of_every_held_out_frame(store, toys):
    pictures = check(store, toys).pictures
    num_frames = store.num_frames("held_out")
    assert pictures["counts.top"].sum() == num_frames * 2 * 2
    assert pictures["counts.bottom"].sum() == num_frames * 4 * 4
    assert pictures["counts.top"].dtype == np.int64
