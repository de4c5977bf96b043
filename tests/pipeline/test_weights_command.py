import pytest
from typer.testing import CliRunner

from cvg.errors import UserError
from cvg.pretrained.catalog import entries
from pipeline.weights import app

ALEX = "lpips-alexnet-trunk"


@pytest.fixture
def run(tmp_path, monkeypatch):
    monkeypatch.setenv("CVG_WEIGHTS", str(tmp_path / "store"))

    def invoke(*words):
        return CliRunner().invoke(app, list(words), catch_exceptions=False).output

    return invoke


def test_list_tells_of_every_network_what_it_is_and_whether_it_is_here(run, tmp_path):
    (tmp_path / "store").mkdir()
    (tmp_path / "store" / f"{ALEX}.safetensors").touch()
    text = run("list")
    assert str(tmp_path / "store") in text
    for entry in entries():
        state = "present" if entry.name == ALEX else "absent "
        assert f"{state} {entry.name} ({entry.size_bytes / 1e6:.1f} MB)" in text
        for fact in (entry.purpose, entry.licence, entry.source, entry.carrier.file_name):
            assert fact in text


def test_verify_passes_over_what_is_absent_unless_it_is_named(run):
    assert run("verify").count("absent ") == 3
    with pytest.raises(UserError, match=f"cvg weights fetch {ALEX}"):
        run("verify", ALEX)


def test_verify_finds_a_damaged_file(run, tmp_path):
    (tmp_path / "store").mkdir()
    (tmp_path / "store" / f"{ALEX}.safetensors").write_bytes(b"damaged")
    with pytest.raises(UserError, match="sha256 is"):
        run("verify")


def test_fetch_gets_what_is_named_and_all_where_nothing_is(run, tmp_path, monkeypatch):
    asked = []

    def fetch(*names):
        asked.append(names)
        return [tmp_path / name for name in names]

    monkeypatch.setattr("cvg.pretrained.store.fetch", fetch)
    run("fetch", ALEX)
    run("fetch")
    assert asked == [(ALEX,), tuple(entry.name for entry in entries())]


def test_import_refuses_a_file_that_is_not_there(run, tmp_path):
    with pytest.raises(UserError, match="no such file"):
        run("import", ALEX, str(tmp_path / "absent.pth"))
