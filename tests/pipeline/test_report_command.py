"""The report stage as a command."""

import runpy
from pathlib import Path

import typer
from typer.testing import CliRunner

from cvg.errors import UserError
from pipeline.report import report

write_run = runpy.run_path(str(Path(__file__).parents[1] / "report/made.py"))["write_run"]

app = typer.Typer()
app.command()(report)


def options(paths, out):
    given = {name: path for name, path in vars(paths).items() if path}
    given |= {"out": out, "summary": out.with_name("report.md")}
    return [word for name, path in given.items() for word in (f"--{name}", str(path))]


def test_page_is_written_and_its_path_said(root, tmp_path):
    out = tmp_path / "page.html"
    paths = write_run(
        tmp_path, ablation="name,lpips\nplain,0.2\n", critic={"auc_frozen": 0.9}, accepted={}
    )
    words = ["--params", str(root / "params.yaml"), *options(paths, out)]
    result = CliRunner().invoke(app, words)
    assert result.exit_code == 0, result.output
    assert f"report: wrote {out}" in result.stdout
    page = out.read_text()
    assert page.startswith("<!DOCTYPE html>")
    assert "Variants of the VQGAN" in page


def test_paths_that_are_not_given_are_those_of_dvc_yaml(root, tmp_path, monkeypatch):
    write_run(
        tmp_path,
        ablation="name,lpips\nplain,0.2\n",
        orders="order\nraster\n",
        critic={"auc_frozen": 0.9},
        finetuning="way\nteach\n",
        accepted={},
    )
    (tmp_path / "params.yaml").write_text((root / "params.yaml").read_text())
    (tmp_path / "dvc.yaml").write_text((root / "dvc.yaml").read_text())
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(app, [])
    assert result.exit_code == 0, result.output
    assert "Variants of the VQGAN" in (tmp_path / "reports/index.html").read_text()


def test_figures_whose_keys_are_spoilt_are_told_and_nothing_is_written(root, tmp_path):
    out = tmp_path / "page.html"
    paths = write_run(
        tmp_path, ablation="name,lpips\nplain,0.2\n", critic={"auc_frozen": 0.9}, accepted={}
    )
    path = paths.scores / "protocol.json"
    path.write_text(path.read_text().replace('"candidate"', '"candidbte"'))
    words = ["--params", str(root / "params.yaml"), *options(paths, out)]
    result = CliRunner().invoke(app, words)
    assert isinstance(result.exception, UserError)
    assert "the page cannot be made: KeyError" in str(result.exception)
    assert not out.exists()
