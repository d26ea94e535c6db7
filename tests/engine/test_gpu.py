"""The GPU's engine in plain PyTorch, run on the CPU: it is the network, and draws what the compiled loop draws."""

import itertools

import numpy as np
import pytest
import torch
from inputs import classes_like_speech, conditioning_of, job_of, require_equal_to_network

from vqvc.conversion import pipeline
from vqvc.engine.cpu import kernels
from vqvc.engine.cpu.sampler import Sampler
from vqvc.engine.gpu.rows import uniforms
from vqvc.engine.gpu.sampler import GpuSampler, make_sampler
from vqvc.errors import UsageError

# Share of single draws that rounding may turn. Measured: none of 57,600; of 128 streams of 2,560 free draws, one went
# another way.
DIFFERING = 0.001

SHAPES = (  # layers, cycle, kernel, residual, gate, skip, streams, conditioning hop
    (1, 1, 2, 16, 32, 16, 1, 16),
    (5, 4, 2, 20, 70, 33, 5, 4),  # dilations up to 8 on frames of 4 samples
    (4, 2, 3, 7, 6, 5, 3, 1),
    (3, 5, 1, 17, 34, 80, 4, 64),
    (6, 6, 4, 24, 48, 64, 2, 16),
)


@pytest.fixture(autouse=True)
def no_device(monkeypatch):
    """These tests hold the arithmetic, which is the same on either; the last one holds the device's."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)


def jobs_of(conditioning, lengths: tuple[int, ...], hop: int) -> list:
    """One job per stream, of so many frames."""
    return [job_of(conditioning, row, frames, row - 1, hop * row) for row, frames in enumerate(lengths)]


def shaped(make_model, output: str, shape: tuple[int, ...]):
    names = ("layers", "dilation_cycle", "kernel", "residual_channels", "gate_channels", "skip_channels")
    return make_model(output, **dict(zip(names, shape)), conditioning_hop=shape[7])


@pytest.mark.parametrize("output", ["categorical", "mixture"])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_the_engine_equals_the_network(make_model, output, shape):
    model = shaped(make_model, output, shape)
    require_equal_to_network(GpuSampler(model, "float32", "cpu"), model, streams=shape[6])


@pytest.mark.parametrize("output", ["categorical", "mixture"])
def test_single_draws_equal_the_compiled_loops(make_model, output):
    """Every draw after the same past, so that one that rounding turns does not turn those after it."""
    model, streams = make_model(output), 96
    conditioning, forced = conditioning_of(model, streams, codes=2), classes_like_speech(streams, 128)
    engine, loop = GpuSampler(model, "float32", "cpu"), Sampler(model, "float32")
    differing = drawn = 0
    for at in range(15, 128, 16):  # the last sample of a frame is drawn, those before it are given
        now, states = forced[:, : at + 1], [each.start(streams, range(streams)) for each in (engine, loop)]
        part = conditioning[:, : (at + 1) // 16]
        ours, theirs = (each.feed(state, part, forced=now[:, :-1]) for each, state in zip((engine, loop), states))
        differing, drawn = differing + int((ours[:, at] != theirs[:, at]).sum()), drawn + streams
    assert differing <= DIFFERING * drawn


@pytest.mark.parametrize("output", ["categorical", "mixture"])
def test_jobs_equal_those_of_the_compiled_loop(make_model, output):
    """Lanes end and are taken over at different times; a long run of equal draws needs every state to be right."""
    model = make_model(output)
    lengths = (40, 3, 17, 40, 1, 25, 0, 9, 33)
    jobs, made = jobs_of(conditioning_of(model, streams=9, codes=10), lengths, 16), []
    expected = Sampler(model, "float32").run([job for job in jobs if len(job.frames)], 0.9)
    expected.insert(6, np.zeros(0, np.uint8))
    engine = GpuSampler(model, "float32", "cpu")
    for lanes in (1, 3, None):
        made.clear()
        found = engine.run(jobs, 0.9, lanes, progress=made.append)
        assert [len(classes) for classes in found] == [16 * frames for frames in lengths]
        assert sum(made) == 16 * sum(lengths)
        same = sum(np.array_equal(ours, theirs) for ours, theirs in zip(found, expected))
        assert same >= len(jobs) - 1  # a turned draw may send one stream another way
    assert engine.run([]) == []


def test_fed_piece_by_piece_or_at_once(make_model):
    model = make_model()
    conditioning = conditioning_of(model, streams=3, codes=4)
    engine = GpuSampler(model, "float32", "cpu")
    whole = engine.feed(engine.start(3, [5, 6, 7], [0, 16, 32]), conditioning)
    state, pieces = engine.start(3, [5, 6, 7], [0, 16, 32]), []
    for begin, end in itertools.pairwise([0, 1, 4, 5, 16]):
        pieces.append(engine.feed(state, conditioning[:, begin:end]))
    assert np.array_equal(np.concatenate(pieces, axis=1), whole)


def test_uniforms_equal_the_compiled_loops():
    seeds, positions = [0, 1, 2**63, 2**64 - 1, 123456789], [0, 7, 2**40, 12, 480000]
    found = uniforms(torch.from_numpy(np.array(seeds, np.uint64).view(np.int64)), torch.tensor(positions), samples=50)
    expected = [
        [[kernels._uniform(np.uint64(s), p + t, which) for s, p in zip(seeds, positions)] for t in range(50)]
        for which in range(2)
    ]
    assert np.array_equal(found.numpy(), np.array(expected))


def test_bfloat16_is_close(make_model):
    model = make_model("categorical", residual_channels=24, gate_channels=48, skip_channels=32)
    conditioning, forced = conditioning_of(model, 3, codes=2), classes_like_speech(3, 128)
    engines = [GpuSampler(model, precision, "cpu") for precision in ("float32", "bfloat16")]
    raw = [engine.feed(engine.start(3, range(3)), conditioning, forced=forced, observe=True)[1] for engine in engines]
    assert 0 < np.sqrt(((raw[1] - raw[0]) ** 2).mean()) < 0.02 * raw[0].std() + 0.01


def test_conversion_takes_either_engine(make_model):
    model = make_model()
    requests = [pipeline.Request(np.arange(40) % 16, 1, seed=2), pipeline.Request(np.arange(7), 0)]
    ours, theirs = (
        pipeline.synthesize(model, engine, requests)
        for engine in (GpuSampler(model, "float32", "cpu", streams=16), Sampler(model, "float32", threads=1))
    )
    for a, b in zip(ours, theirs):
        assert a.shape == b.shape and (a != b).mean() < 0.2  # the same parts and draws, but for a turned one


def test_the_engine_is_chosen_by_the_machine(make_model):
    assert isinstance(make_sampler(make_model()), Sampler)


def test_wrong_settings_are_refused(make_model):
    model = make_model()
    with pytest.raises(UsageError, match="precision 'float16'.*bfloat16"):
        GpuSampler(model, "float16", "cpu")
    engine = GpuSampler(model, "float32", "cpu")
    for wrong in (0.0, -1.0, float("nan")):
        with pytest.raises(UsageError, match="temperature"):
            engine.feed(engine.start(1, [0]), conditioning_of(model, 1, 1), wrong)


@pytest.mark.parametrize("output", ["categorical", "mixture"])
def test_the_kernel_on_a_gpu(make_model, output, monkeypatch):
    """On a GPU alone: the network within the tolerance of the CPU's, and the draws of the compiled loop."""
    monkeypatch.undo()
    if not torch.cuda.is_available():
        pytest.skip("needs a GPU")
    model = make_model(output)
    assert isinstance(make_sampler(model), GpuSampler)
    engine = GpuSampler(model, "float32")
    require_equal_to_network(engine, model, streams=5)
    lengths = (40, 3, 17, 40, 1, 25, 8, 9, 33)
    jobs = jobs_of(conditioning_of(model, streams=9, codes=10), lengths, 16)
    pairs = zip(engine.run(jobs, lanes=4), Sampler(model, "float32").run(jobs))
    assert sum(np.array_equal(ours, theirs) for ours, theirs in pairs) >= len(jobs) - 1
