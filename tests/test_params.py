"""The parameters: every preset loads, and every mistake is named."""

import re
from pathlib import Path

import pytest

from cvg.errors import UserError
from cvg.params import load_params, read_tree

PRESETS = {"demo", "quick", "large", "huge", "shapes"}
# Keys of params.yaml whose names say it all.
OBVIOUS = {
    "comparator_weight",
    "dropout",
    "heads",
    "layers",
    "lr_scale",
    "steps",
    "warmup_steps",
    "weight_decay",
    "width",
}


@pytest.fixture
def params(root, tmp_path):
    """A copy of the committed params.yaml, to be spoilt."""
    path = tmp_path / "params.yaml"
    path.write_text((root / "params.yaml").read_text())
    return path


def spoil(path: Path, old: str, new: str) -> int:
    """Replace the one text `old`; give the number of its line."""
    text = path.read_text()
    assert text.count(old) == 1
    path.write_text(text.replace(old, new))
    return text[: text.index(old)].count("\n") + 1


def message(path, *overrides):
    with pytest.raises(UserError) as caught:
        load_params(path, overrides)
    return str(caught.value)


def leaves(tree, prefix=""):
    for key, value in tree.items():
        if isinstance(value, dict):
            yield from leaves(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def test_committed_parameters_load(root):
    assert load_params(root / "params.yaml").seed == 0


def test_there_are_the_presets_that_these_tests_know(root):
    assert {path.stem for path in (root / "presets").iterdir()} == PRESETS


@pytest.mark.parametrize("name", sorted(PRESETS))
def test_every_preset_loads(root, name):
    overlay = leaves(read_tree(root / f"presets/{name}.yaml"))
    load_params(root / "params.yaml", [f"{key}={value}" for key, value in overlay])


@pytest.mark.parametrize("name", sorted(PRESETS))
def test_presets_replace_keys_by_values_of_the_same_kind(root, name):
    committed = dict(leaves(read_tree(root / "params.yaml")))
    for key, value in leaves(read_tree(root / f"presets/{name}.yaml")):
        assert isinstance(value, type(committed[key])) or isinstance(committed[key], type(value))


def test_demo_is_the_way_back_from_every_other_preset(root):
    demo = dict(leaves(read_tree(root / "presets/demo.yaml")))
    touched = {
        key
        for name in PRESETS - {"demo"}
        for key, _ in leaves(read_tree(root / f"presets/{name}.yaml"))
    }
    committed = dict(leaves(read_tree(root / "params.yaml")))
    assert demo == {key: committed[key] for key in touched}


def test_other_presets_hold_only_what_differs(root):
    committed = dict(leaves(read_tree(root / "params.yaml")))
    for name in PRESETS - {"demo"}:
        for key, value in leaves(read_tree(root / f"presets/{name}.yaml")):
            assert value != committed[key] or key.startswith("transformer."), f"{name}: {key}"


def test_quick_makes_every_expensive_stage_cheap(root):
    quick = read_tree(root / "presets/quick.yaml")
    assert set(quick) >= {"extract", "vqgan", "transformer", "sample"}
    steps = [
        quick["vqgan"]["steps"],
        *(quick["transformer"][x]["steps"] for x in ("top", "bottom")),
    ]
    assert max(steps) <= 30


def test_misspelt_key_is_named_with_its_line_and_the_nearest_key(params):
    line = spoil(params, "codebook_size:", "codebok_size:")
    text = message(params)
    assert f"{params}:{line}: vqgan.codebok_size: unknown key; did you mean codebook_size?" in text
    # It is not missing as well: one mistake, one message.
    assert "vqgan.codebook_size: this key is missing" not in text


@pytest.mark.parametrize("number", ["1e-5", "1.0e-5", "0.00001", "1E-5"])
def test_small_numbers_in_every_spelling_are_numbers(params, number):
    spoil(params, "lr: 1.0e-3 ", f"lr: {number} ")
    assert load_params(params).lr == 1e-5
    assert load_params(params, [f"vqgan.weight_decay={number}"]).vqgan.weight_decay == 1e-5


def test_number_in_quotes_is_refused(params):
    line = spoil(params, "lr: 1.0e-3 ", 'lr: "1e-3" ')
    assert message(params).startswith(f"{params}:{line}: lr: ")


def test_all_mistakes_are_told_at_once(params):
    spoil(params, "held_out: 0.2 ", "held_out: 1.2 ")
    spoil(params, "stem: 4 ", "stem: 3 ")
    spoil(params, "top_p: 0.9 ", "top_p: much")
    places = [line.split(": ")[1] for line in message(params).splitlines()]
    assert places == ["extract.held_out", "vqgan.stem", "sample.top_p"]


@pytest.mark.parametrize(
    ("override", "place"),
    [
        ("vqgan.warmup_steps=2400", "vqgan.warmup_steps"),
        ("vqgan.validate_every=2401", "vqgan.validate_every"),
        ("transformer.top.width=100", "transformer.top.width"),
        ("sample.context_frames=16", "sample.context_frames"),
        ("extract.frame_size=40", "extract.frame_size"),
        ("extract.frame_size=16", "extract.frame_size"),
        ("transformer.bottom.clip_frames=17", "extract.min_frames"),
        ("sample.frames=17", "sample.frames"),
        ("vqgan.shift=64", "vqgan.shift"),
    ],
)
def test_impossible_combination_is_refused(params, override, place):
    assert f" {place}: must be " in message(params, override)


def test_no_level_at_all_is_refused_with_its_place(params):
    assert " vqgan.levels: " in message(params, "vqgan.levels=[]")


def test_impossible_combination_is_found_beside_another_mistake(params):
    text = message(params, "sample.context_frames=16", "vqgan.stem=3")
    assert "sample.context_frames: must be below" in text
    assert "vqgan.stem" in text


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("  blocks: 1 ", "  width: 96\n  blocks: 1 "),  # twice the same key
        ("  blocks: 1 ", "\tblocks: 2 "),
        ("\nvqgan:", "\nvqgan: {"),
    ],
)
def test_broken_yaml_is_told_with_its_line(params, old, new):
    spoil(params, old, new)
    assert re.match(rf"{re.escape(str(params))}:\d+: not valid YAML: ", message(params))


@pytest.mark.parametrize("text", ["", "- a\n- b\n", "just words\n", "7\n"])
def test_file_that_is_no_mapping_is_refused(params, text):
    params.write_text(text)
    assert "expected `key: value` lines" in message(params)


def test_missing_file_says_where_to_run(tmp_path):
    assert "run from the root of the project" in message(tmp_path / "params.yaml")


@pytest.mark.parametrize("override", ["seed", "=1", "seed.x=1", "vqgan.width=[", "vqgn.width=1"])
def test_bad_override_is_refused(params, override):
    assert message(params, override)


def test_no_parameter_has_a_name_that_the_run_cache_of_dvc_overlooks(root):
    # DVC takes these for file metadata: with another value of such a key, it checks out the outputs
    # of the old value as "cached" (treeverse/dvc issue 10296).
    for key, _ in leaves(read_tree(root / "params.yaml")):
        assert not {"size", "nfiles"} & set(key.split(".")), f"{key}: choose another name"


def test_every_parameter_is_explained(root):
    lines = (root / "params.yaml").read_text().splitlines()
    explained: set[str] = set()
    for before, line in zip(["", *lines], lines, strict=False):
        key = line.partition(":")[0].strip()
        if not line.strip() or line.startswith("#") or line.endswith(":"):
            continue
        if "#" in line or before.strip().startswith("#"):
            explained.add(key)
        # A key that stands in several sections is explained where it first stands.
        assert key in explained | OBVIOUS, f"params.yaml: {line.strip()}: say unit, range or reason"


def test_conflicts_across_sections_are_told_beside_other_mistakes(params):
    spoil(params, "seed: 0", "seeed: 0")
    spoil(params, "frame_size: 64", "frame_size: 40")
    with pytest.raises(UserError) as error:
        load_params(params)
    assert "seeed: unknown key" in str(error.value)
    assert "extract.frame_size: must be a multiple" in str(error.value)
