"""The step in C++ computes what PyTorch computes."""

import os
import platform
import signal
import time

import pytest
import torch

from cvg.sampling.draw import draw
from cvg.transformer.decoder import Decoder
from cvg.transformer.native import build
from cvg.transformer.native.step import Frame, NativeTransformer
from cvg.transformer.packing import pack

pytestmark = pytest.mark.skipif(build.find_compiler() is None, reason="there is no C++ compiler")
FRAMES = 7


@pytest.fixture
def written(toys, layout, make_sequence):
    """Give the logits of known codes, in one layout of the weights."""

    def write(model, way, *, clips=3, with_goal=False, context=0):
        sequence = make_sequence(layout, clips=3, frames=FRAMES)[:clips]
        told = toys.CONDITIONING.gather(toys.toy_conditions(FRAMES)[:clips], frames=FRAMES)
        goal = toys.toy_goal(layout, time=FRAMES - 2, clips=clips) if with_goal else None
        decoder = Decoder(pack(model, way), told, goal=goal)
        if context:
            decoder.prefill(sequence[:, :context])
        logits = []
        for frame in sequence[:, context:].unbind(1):
            decoder.begin()
            if layout.num_given:
                decoder.give(frame[:, : layout.num_given])
            for codes in frame[:, layout.num_given :].unbind(1):
                logits.append(decoder.peek())
                decoder.put(codes)
        return torch.stack(logits, dim=1)

    return write


@pytest.mark.parametrize("clips", [1, 2, 3])
@pytest.mark.parametrize("with_goal", [False, True], ids=["open end", "goal"])
@pytest.mark.parametrize(
    "shape",
    [
        {},
        {"window": 1, "layers": 3},
        {"window": 3, "keep_first": True},
        {"width": 24, "heads": 1},  # no whole vectors anywhere
        {"width": 80, "heads": 5, "window": 5},
    ],
    ids=str,
)
def test_logits_are_those_of_pytorch(toys, layout, written, shape, clips, with_goal):
    model = toys.toy_transformer(layout, **shape).float()
    for parameter in model.blocks.parameters():  # wider layers, but no larger logits
        parameter.data.mul_((16 / model.shape.width) ** 0.5)
    for context in (0, 2):
        options = {"clips": clips, "with_goal": with_goal, "context": context}
        plain, native = (written(model, packing, **options) for packing in ("fp32", "native"))
        torch.testing.assert_close(native, plain, rtol=2e-6, atol=2e-5)


def test_more_videos_than_are_done_at_once(toys, layout, make_sequence):
    model = toys.toy_transformer(layout, keep_first=True).float()
    sequence = make_sequence(layout, clips=11, frames=3)
    told = toys.CONDITIONING.gather([toys.Condition()] * 11, frames=3)
    logits = []
    for way in ("fp32", "native"):
        decoder = Decoder(pack(model, way), told)
        decoder.prefill(sequence[:, :2])
        decoder.begin()
        if layout.num_given:
            decoder.give(sequence[:, 2, : layout.num_given])
        logits.append(decoder.peek())
    torch.testing.assert_close(*logits, rtol=0, atol=2e-5)


def test_the_same_codes_are_drawn(toys, layout):
    model = toys.toy_transformer(layout).float()
    told = toys.CONDITIONING.gather(toys.toy_conditions(FRAMES), frames=FRAMES)
    videos = []
    for way in ("fp32", "native"):
        decoder, rng, codes = Decoder(pack(model, way), told), toys.rng(), []
        for _ in range(FRAMES):
            decoder.begin()
            if layout.num_given:
                decoder.give(torch.zeros(3, layout.num_given, dtype=torch.int64))
            for _ in range(layout.predicted.num_codes):
                logits = decoder.peek()
                codes.append(draw(logits.softmax(-1), torch.rand(3, generator=rng)))
                decoder.put(codes[-1])
        videos.append(torch.stack(codes))
    assert torch.equal(*videos)
    assert len(videos[0].unique()) > 3


@torch.inference_mode()
@pytest.mark.parametrize("half", [False, True], ids=["float32", "bfloat16"])
def test_bits_depend_neither_on_threads_nor_on_the_other_videos(toys, layout, make_sequence, half):
    model = toys.toy_transformer(layout, width=80, heads=5, keep_first=True).float()
    told = toys.CONDITIONING.gather(toys.toy_conditions(FRAMES), frames=FRAMES)
    decoder = Decoder(pack(model, "fp32"), told)
    decoder.prefill(make_sequence(layout)[:, :3])
    decoder.begin()
    slot = decoder._cache.slots(1).start

    def logits(*, videos=3, threads=1):
        def some(array):
            return array[:videos].clone()

        frame = decoder._frame()
        names = ("keys", "turned", "values")
        layers = {name: [some(a) for a in getattr(frame, name)] for name in names}
        names = ("bias", "base", "numbers", "before", "previous")
        arrays = {name: some(getattr(frame, name)) for name in names}
        torch.set_num_threads(threads)
        try:
            native = NativeTransformer(model, decoder._packed.tables, half=half)
            frame = Frame(**layers, **arrays, rotation=decoder._cache.rotation)
            return native.sight().begin(frame).logits(0, slot)
        finally:
            torch.set_num_threads(1)

    whole = logits()
    assert torch.equal(logits(threads=3), whole)
    for videos in (1, 2):
        assert torch.equal(logits(videos=videos), whole[:videos])


@pytest.fixture(params=["as it is", "without products of halves"])
def processor(request, monkeypatch, tmp_path):
    """This processor, and one that cannot multiply bfloat16."""
    if request.param == "as it is":
        yield
        return
    if platform.machine() != "x86_64":
        pytest.skip("has another name for it, if any")
    monkeypatch.setattr(build, "FLAGS", (*build.FLAGS, "-mno-avx512bf16"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    build.library.cache_clear()
    yield
    build.library.cache_clear()


@pytest.mark.usefixtures("processor")
@pytest.mark.parametrize("shape", [{}, {"width": 80, "heads": 5}], ids=str)
def test_half_of_the_bytes_changes_logits_by_no_more_than_their_rounding(
    toys, layout, written, shape
):
    model = toys.toy_transformer(layout, keep_first=True, **shape).float()
    for parameter in model.blocks.parameters():
        parameter.data.mul_((16 / model.shape.width) ** 0.5)
    for options in ({}, {"context": 2, "with_goal": True}):
        plain, half = (written(model, way, **options) for way in ("fp32", "native-bf16"))
        assert 1e-4 < (plain - half).abs().max() < 0.05 * plain.abs().max()


@pytest.mark.parametrize("order", ["raster", "parallel"])
def test_a_context_passes_in_half_precision_where_the_step_rounds_its_inputs(
    toys, layout, make_sequence, order
):
    model = toys.toy_transformer(layout, order=order).float()
    sequence, types = make_sequence(layout, frames=2), []
    told = toys.CONDITIONING.gather(toys.toy_conditions(2), frames=2)
    network = model.layers[0].network[0]
    network.register_forward_hook(lambda module, inputs, output: types.append(output.dtype))
    for way in ("native", "native-bf16"):
        packed = pack(model, way)
        types.clear()
        Decoder(packed, told).prefill(sequence)
        half = packed.native is not None and packed.native.rounds_inputs
        assert types[-1] == (torch.bfloat16 if half else torch.float32)
        assert not half or way == "native-bf16"


def test_large_scores_and_codes_that_are_not_finite_behave_as_in_pytorch(toys, layout, written):
    model = toys.toy_transformer(layout).float()
    with torch.no_grad():
        for block in model.layers:
            block.attention.project_in.weight.mul_(40)  # a softmax of one code
            block.network[0].weight.mul_(30)  # both tails of the activation
    plain, native = written(model, "fp32"), written(model, "native")
    torch.testing.assert_close(native, plain, rtol=1e-4, atol=1e-3)
    with torch.no_grad():
        model.layers[0].network[2].weight[0, 0] = torch.nan
    assert written(model, "native").isnan().all()


def test_codes_may_be_given_at_any_place_of_a_frame(toys, layout, make_sequence):
    model = toys.toy_transformer(layout).float()
    sequence = make_sequence(layout, frames=4)
    told = toys.CONDITIONING.gather(toys.toy_conditions(4), frames=4)
    given, half = layout.num_given, layout.num_given + layout.predicted.num_codes // 2
    logits = []
    for way in ("fp32", "native"):
        decoder, found = Decoder(pack(model, way), told), []
        for frame in sequence.unbind(1):
            decoder.begin()
            if given:
                decoder.give(frame[:, :given])
            for places in (range(given, half), range(half + 1, frame.shape[1])):
                for place in places:
                    found.append(decoder.peek())
                    decoder.put(frame[:, place])
                if places.stop == half:
                    found.append(decoder.give(frame[:, half : half + 1])[:, 0])
        logits.append(torch.stack(found))
    torch.testing.assert_close(*logits, rtol=0, atol=2e-5)


def test_videos_that_are_taken_and_frames_taken_back_go_on_right(toys, layout, make_sequence):
    model = toys.toy_transformer(layout, keep_first=True).float()
    sequence = make_sequence(layout, frames=5)
    told = toys.CONDITIONING.gather(toys.toy_conditions(5), frames=5)
    rows = torch.tensor([2, 0, 0, 1])
    logits = []
    for way in ("fp32", "native"):
        decoder = Decoder(pack(model, way), told)
        decoder.prefill(sequence[:, :3])
        decoder.take(rows)
        found = []
        for _ in range(2):
            decoder.begin()
            if layout.num_given:
                decoder.give(sequence[rows, 3, : layout.num_given])
            for codes in sequence[rows, 3, layout.num_given :].unbind(1):
                found.append(decoder.peek())
                decoder.put(codes)
            decoder.rewind()
        assert torch.equal(*torch.stack(found).chunk(2))
        logits.append(torch.stack(found))
    torch.testing.assert_close(*logits, rtol=0, atol=2e-5)


@torch.inference_mode()
def test_a_forked_process_has_threads_of_its_own(toys, layout):
    model = toys.toy_transformer(layout).float()
    decoder = Decoder(pack(model, "fp32"), toys.CONDITIONING.gather([toys.Condition()], frames=1))
    decoder.begin()
    slot = decoder._cache.slots(1).start
    torch.set_num_threads(2)
    try:
        frame = (
            NativeTransformer(model, decoder._packed.tables, half=False)
            .sight()
            .begin(decoder._frame())
        )
    finally:
        torch.set_num_threads(1)
    expected = frame.logits(0, slot)
    pid = os.fork()
    if pid == 0:
        os._exit(0 if torch.equal(frame.logits(0, slot), expected) else 1)
    until = time.monotonic() + 60
    while (found := os.waitpid(pid, os.WNOHANG))[0] == 0:
        if time.monotonic() > until:
            os.kill(pid, signal.SIGKILL)
        time.sleep(0.01)
    assert os.waitstatus_to_exitcode(found[1]) == 0


def test_in_parallel_order_there_is_nothing_for_it_to_do(toys, layout):
    model = toys.toy_transformer(layout, order="parallel").float()
    assert pack(model, "native").native is None


@pytest.fixture
def no_library():
    """Forget the library before and after."""
    build.library.cache_clear()
    yield
    build.library.cache_clear()


@pytest.mark.parametrize(
    ("compiler", "said"),
    [
        ("/no/such/compiler", "no C++ compiler was found"),
        ("false", "false cannot compile step.cpp"),
    ],
)
def test_without_a_compiler_pytorch_does_it_and_that_is_said(
    toys, layout, no_library, monkeypatch, tmp_path, capsys, compiler, said
):
    monkeypatch.setenv("CXX", compiler)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    packed = pack(toys.toy_transformer(layout).float(), "native")
    assert (packed.packing, packed.native) == ("fp32", None)
    error = capsys.readouterr().err
    assert said in error
    assert "sample.packing is native, which this machine does not have" in error
    assert [path.suffix for path in tmp_path.rglob("*") if path.is_file()] == []


def test_it_is_compiled_once_for_a_source_and_a_compiler(no_library, monkeypatch, tmp_path, capsys):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert build.library() is not None
    assert "compiling the native step" in capsys.readouterr().err
    build.library.cache_clear()
    assert build.library() is not None
    assert capsys.readouterr().err == ""
    source = tmp_path / "step.cpp"
    source.write_text(build.SOURCE.read_text() + "\n// a change\n")
    monkeypatch.setattr(build, "SOURCE", source)
    build.library.cache_clear()
    assert build.library() is not None
    assert len(list(tmp_path.glob("cvg/native/step-*.so"))) == 2
