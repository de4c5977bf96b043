"""The whole chain at toy size, through DVC, on the real demo videos."""

import json
import math

import pytest

pytestmark = pytest.mark.slow
ci = pytest.mark.ci

NAMES = (
    "vqgan.psnr",
    "vqgan.psnr_top",
    "vqgan.ssim",
    "codes.top.usage",
    "codes.top.perplexity",
    "codes.bottom.usage",
    "codes.bottom.perplexity",
    "transformer.top.nll",
    "transformer.bottom.nll",
    "sample.psnr",
    "sample.ssim",
    "baseline.repeat_last.psnr",
    "baseline.nearest.psnr",
    "control.reconstruction.psnr",
)
WITH_WEIGHTS = (
    "vqgan.lpips",
    "vqgan.fvd",
    "sample.lpips",
    "sample.fvd",
    "baseline.repeat_last.lpips",
    "baseline.repeat_last.fvd",
    "baseline.nearest.lpips",
    "baseline.nearest.fvd",
    "control.reconstruction.lpips",
    "control.reconstruction.fvd",
    "control.real_vs_real.fvd",
)


def at(tree, dotted):
    for key in dotted.split("."):
        tree = tree[key]
    return tree


def ran(output):
    """Names of the stages that DVC ran."""
    return [line.split("'")[1] for line in output.splitlines() if line.startswith("Running stage")]


@ci
def test_the_figures_that_others_rely_on_are_there(chain):
    shown = json.loads(chain.run("dvc metrics show --json"))
    figures = shown[""]["data"]["reports/metrics.json"]["data"]
    for name in NAMES:
        assert isinstance(at(figures, name), float), name


@ci
def test_the_transformers_are_measured_by_truth_seen_and_by_horizon(chain):
    figures = json.loads((chain.folder / "reports/transformers/figures.json").read_text())
    assert set(figures["nll"]) == {"all", "frames", "context"}
    for costs in figures["nll"].values():
        assert set(costs) == {"top", "bottom", "bits_per_pixel"}
        bits = (4 * costs["top"] + 16 * costs["bottom"]) / math.log(2) / 32**2
        assert costs["bits_per_pixel"] == pytest.approx(bits)
    assert figures["nll"]["all"]["top"] < figures["nll"]["context"]["top"]
    assert set(figures["drift"]) == {"to_16", "to_24"}
    page = (chain.folder / "reports/index.html").read_text(encoding="utf-8")
    assert "How much of the truth they need" in page
    assert "Drift" in page


@ci
@pytest.mark.weights
def test_the_figures_of_pretrained_networks_are_there(chain):
    figures = json.loads((chain.folder / "reports/metrics.json").read_text())
    for name in WITH_WEIGHTS:
        assert isinstance(at(figures, name), float), name


@ci
def test_a_second_repro_runs_nothing(chain):
    output = chain.run("dvc repro")
    assert ran(output) == []
    assert "up to date" in output


@ci
def test_samples_are_there_to_measure_and_to_look_at(chain):
    names = {path.name for path in (chain.folder / "data/samples").iterdir()}
    assert {"samples.npy", "samples.json", "grid.gif", "sample_00.mp4"} <= names


@ci
def test_the_report_is_one_page(chain):
    page = (chain.folder / "reports/index.html").read_text(encoding="utf-8")
    assert "<html" in page
    assert 'src="http' not in page


@ci
def test_a_change_in_the_transformer_reruns_no_vqgan_stage(chain):
    model = chain.folder / "cvg/transformer/model.py"
    before = model.read_text()
    try:
        model.write_text(before + "\n# a change\n")
        changed = json.loads(chain.run("dvc status --json"))
    finally:
        model.write_text(before)
    trained = {"train_transformer@top", "train_transformer@bottom"}
    others = {"check_transformers", "finetune", "sample"}
    assert set(changed) == trained | others


@ci
def test_an_experiment_with_another_lr_reruns_what_depends_on_it(chain):
    output = chain.run("dvc exp run -S lr=5e-4 --temp tokenize")
    assert ran(output) == ["train_vqgan", "check_vqgan", "tokenize"]


@ci
def test_without_fine_tuning_the_transformers_are_handed_on_as_they_are(chain):
    for level in ("top", "bottom"):
        for name in ("weights.safetensors", "config.json"):
            before, after = (
                (chain.folder / f"data/{folder}/{level}/{name}").read_bytes()
                for folder in ("transformer", "finetuned")
            )
            assert before == after
    outcome = json.loads((chain.folder / "data/finetuned/finetuning.json").read_text())
    assert not outcome["enabled"]
    assert set(outcome["made_of"]) == {"top", "bottom"}


@pytest.mark.parametrize("method", ["teach", pytest.param("reward", marks=ci)])
def test_fine_tuning_and_choosing_are_settings(chain, method):
    settings = (
        "finetune.enabled=true",
        f"finetune.method={method}",
        "finetune.max_rise=9.0",
        "sample.best_of=2",
    )
    before = (chain.folder / "data/samples/samples.npy").read_bytes()
    try:
        output = chain.run("dvc exp run " + " ".join(f"-S {s}" for s in settings) + " evaluate")
        outcome = json.loads((chain.folder / "data/finetuned/finetuning.json").read_text())
        curve = (chain.folder / "reports/plots/finetune.csv").read_text()
        after = (chain.folder / "data/samples/samples.npy").read_bytes()
    finally:
        chain.run("git checkout --quiet -- .")
        chain.run("dvc checkout --force --quiet")
    assert ran(output) == ["finetune", "sample", "evaluate"]
    assert outcome["enabled"]
    assert outcome["steps"] == 6
    assert "adversarial" in curve.splitlines()[0]
    assert before != after


@ci
def test_runs_of_the_chain_and_of_experiments_are_in_one_mlflow_store(chain):
    import mlflow

    client = mlflow.MlflowClient(f"sqlite:///{chain.folder}/mlflow.db")
    experiment = client.get_experiment_by_name("cvg")
    runs = client.search_runs([experiment.experiment_id])
    assert {run.info.status for run in runs} == {"FINISHED"}
    names = {run.info.run_name for run in runs}
    assert {"extract", "train_vqgan", "train_transformer_top", "sample", "evaluate"} <= names
    trained = next(run for run in runs if run.info.run_name == "train_vqgan")
    history = client.get_metric_history(trained.info.run_id, "loss")
    assert len(history) >= 2
    assert trained.data.params["vqgan.width"] == "32"


ONE_LEVEL = ("vqgan.levels=[bottom]", "vqgan.quantizer=fsq", "vqgan.fsq_levels=[8,4]")
THREE_LEVELS = ("vqgan.levels=[top,middle,bottom]", "vqgan.stem=2")


@pytest.mark.parametrize(
    ("levels", "settings"),
    [
        pytest.param(["bottom"], ONE_LEVEL, id="one level"),
        pytest.param(["top", "middle", "bottom"], THREE_LEVELS, id="three levels"),
    ],
)
def test_an_experiment_on_other_data_and_levels_runs_the_whole_chain(chain, levels, settings):
    chain.run("cvg data make shapes data/shapes --clips 24 --size 32")
    data = ("extract.manifest=data/shapes/manifest.csv", "extract.shots=none")
    try:
        output = chain.run("dvc exp run " + " ".join(f"-S {s}" for s in (*data, *settings)))
        report = json.loads((chain.folder / "data/frames/report.json").read_text())
        figures = json.loads((chain.folder / "reports/metrics.json").read_text())
        page = (chain.folder / "reports/index.html").read_text()
    finally:
        chain.run("git checkout --quiet -- .")
        chain.run("dvc checkout --force --quiet")
    # Extraction is from DVC's cache the second time; samples and their check may come in any order.
    stages = ran(output)
    for name in ("check_transformers", "train_critic"):
        stages.remove(name)
    assert [stage for stage in stages if stage != "extract"] == [
        "train_vqgan",
        "check_vqgan",
        "tokenize",
        *(f"train_transformer@{level}" for level in levels),
        "finetune",
        "sample",
        "evaluate",
        "report",
    ]
    assert (report["found"], report["used"]) == (24, 24)
    assert list(figures["codes"]) == list(figures["transformer"]) == levels
    assert {f"psnr_{level}" for level in levels[:-1]} <= set(figures["vqgan"])
    assert figures["sample"]["psnr"] > 0
    assert all(f"{level.capitalize()} transformer" in page for level in levels)


@ci
def test_the_same_parameters_give_the_same_bytes(chain):
    """Trained and tokenized once more, the codes that DVC hashed are equal."""
    import yaml

    lock = yaml.safe_load((chain.folder / "dvc.lock").read_text())
    first = lock["stages"]["tokenize"]["outs"][0]["md5"]
    chain.run("dvc repro --force --single-item train_vqgan")
    chain.run("dvc repro --force --single-item tokenize")
    lock = yaml.safe_load((chain.folder / "dvc.lock").read_text())
    assert lock["stages"]["tokenize"]["outs"][0]["md5"] == first
