"""The cached loop computes what the network computes: same outputs, whatever the pieces, the lanes and the neighbours."""

import itertools
import threading
import time

import numpy as np
import pytest
import torch
from inputs import classes_like_speech, conditioning_of, job_of, require_equal_to_network
from network import log_probabilities, raw_outputs
from scipy import stats

from vqvc.engine.cpu import units
from vqvc.engine.cpu.sampler import Sampler
from vqvc.errors import UsageError
from vqvc.nn import likelihood
from vqvc.nn.features import mulaw_encode
from vqvc.nn.vqvae import Conditioning

SHAPES = (  # layers, cycle, kernel, residual, gate, skip, streams
    (1, 1, 2, 16, 32, 16, 1),
    (3, 3, 2, 12, 20, 12, 2),
    (5, 4, 2, 20, 70, 33, 5),
    (4, 2, 3, 7, 6, 5, 3),
    (3, 5, 1, 17, 34, 80, 4),
    (6, 6, 4, 24, 48, 64, 7),
    (3, 3, 2, 16, 48, 40, 41),
)
NARROW = [unit for unit in units.available() if units.PRECISIONS[unit] == "bfloat16"]


@pytest.mark.parametrize("output", ["categorical", "mixture"])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_the_loop_computes_what_the_network_computes(make_model, output, shape):
    layers, cycle, kernel, residual, gate, skip, streams = shape
    model = make_model(
        output, layers=layers, dilation_cycle=cycle, kernel=kernel, residual_channels=residual, gate_channels=gate,
        skip_channels=skip,
    )  # fmt: skip
    require_equal_to_network(Sampler(model, "float32"), model, streams)


@pytest.mark.parametrize("output", ["categorical", "mixture"])
def test_fed_piece_by_piece_or_at_once(make_model, output, unit):
    model = make_model(output)
    conditioning = conditioning_of(model, streams=3, codes=6)
    sampler = Sampler(model, unit=unit)
    whole = sampler.feed(sampler.start(3, [5, 6, 7]), conditioning)
    state, pieces = sampler.start(3, [5, 6, 7]), []
    for begin, end in itertools.pairwise([0, 1, 4, 5, 11, 24]):
        pieces.append(sampler.feed(state, conditioning[:, begin:end]))
    assert np.array_equal(np.concatenate(pieces, axis=1), whole)


@pytest.mark.parametrize("output", ["categorical", "mixture"])
def test_a_stream_does_not_depend_on_its_neighbours(make_model, output, unit):
    model = make_model(output)
    conditioning = conditioning_of(model, streams=5, codes=4)
    sampler = Sampler(model, unit=unit)
    together = sampler.feed(sampler.start(5, range(5)), conditioning)
    for row in range(5):
        alone = sampler.feed(sampler.start(1, [row]), conditioning[row : row + 1])
        assert np.array_equal(alone[0], together[row])


def test_lanes_and_threads_change_nothing(make_model, unit):
    model = make_model()
    conditioning = conditioning_of(model, streams=9, codes=10)
    lengths = (40, 3, 17, 40, 1, 25, 8, 9, 33)  # frames: lanes end and are taken over at different times
    jobs = [job_of(conditioning, row, frames, seed=row, position=16 * row) for row, frames in enumerate(lengths)]
    expected = [Sampler(model, threads=1, unit=unit).run([job], lanes=1)[0] for job in jobs]
    for threads, lanes in ((1, 2), (1, 16), (2, 3), (3, 4)):
        made = []
        found = Sampler(model, threads=threads, unit=unit).run(jobs, lanes=lanes, progress=made.append)
        assert all(np.array_equal(a, b) for a, b in zip(found, expected))
        assert sum(made) == sum(lengths) * 16


def test_the_same_seed_and_place_draw_the_same(make_model):
    model = make_model()
    conditioning = conditioning_of(model, streams=1, codes=4)
    sampler = Sampler(model, "float32")

    def synthesize(seed, position):
        return sampler.feed(sampler.start(1, [seed], [position]), conditioning)[0]

    assert np.array_equal(synthesize(1, 0), synthesize(1, 0))
    assert not np.array_equal(synthesize(1, 0), synthesize(2, 0)) and not np.array_equal(
        synthesize(1, 0), synthesize(1, 16)
    )
    assert np.array_equal(synthesize(-1, 0), synthesize(2**64 - 1, 0))  # any whole number is a seed


@pytest.mark.parametrize("output", ["categorical", "mixture"])
def test_draws_follow_the_model(make_model, output):
    model, streams = make_model(output), 6000
    conditioning = conditioning_of(model, streams=1, codes=1)[:, :1]
    forced = np.repeat(classes_like_speech(1, 15), streams, axis=0)
    many = Conditioning(
        *(
            None if t is None else t.expand(streams, *t.shape[1:])
            for t in (conditioning.frames, conditioning.predictor, conditioning.log_gain)
        )
    )
    sampler = Sampler(model, "float32")
    drawn = sampler.feed(sampler.start(streams, range(streams)), many, forced=forced)[:, 15]
    classes = torch.from_numpy(np.pad(forced[:1], [(0, 0), (0, 1)]))
    expected = log_probabilities(model, raw_outputs(model, classes, conditioning), classes, conditioning)
    expected = expected[0, 15].double().exp().numpy()
    assert chi_square(drawn, expected) > 1e-4


def chi_square(drawn: np.ndarray, expected: np.ndarray) -> float:
    """p-value of the drawn classes; rare classes are counted together."""
    counts, wanted = np.bincount(drawn, minlength=256), expected / expected.sum() * len(drawn)
    order = np.argsort(wanted)
    rare = order[: max(1, int(np.searchsorted(wanted[order].cumsum(), 5)) + 1)]
    keep = np.setdiff1d(order, rare)
    return stats.chisquare(
        np.append(counts[keep], counts[rare].sum()), np.append(wanted[keep], wanted[rare].sum())
    ).pvalue


def test_draws_of_one_stream_are_independent(make_model):
    model = make_model("categorical")
    with torch.no_grad():
        model.wavenet.out.weight.zero_()  # the same distribution at every sample
        expected = model.wavenet.out.bias.double().softmax(0).numpy()
    conditioning = conditioning_of(model, streams=1, codes=300)
    sampler = Sampler(model, "float32")
    drawn = sampler.feed(sampler.start(1, [7]), conditioning)[0].astype(np.int64)
    assert chi_square(drawn, expected) > 1e-4
    halves = (expected.cumsum()[drawn] > 0.5).astype(int)
    for apart in (1, 2, 16, 64):
        table = np.histogram2d(halves[:-apart], halves[apart:], bins=2)[0]
        assert stats.chi2_contingency(table).pvalue > 1e-4


def test_temperature_sharpens(make_model):
    model = make_model("categorical")
    with torch.no_grad():
        model.wavenet.out.weight.zero_()
        bias = model.wavenet.out.bias.double()
    conditioning = conditioning_of(model, streams=1, codes=200)
    sampler = Sampler(model, "float32")
    for temperature in (0.5, 1.5):
        drawn = sampler.feed(sampler.start(1, [1]), conditioning, temperature=temperature)[0].astype(np.int64)
        assert chi_square(drawn, (bias / temperature).softmax(0).numpy()) > 1e-4
    cold = sampler.feed(sampler.start(1, [1]), conditioning[:, :4], temperature=1e-3)
    assert (cold == int(bias.argmax())).all()
    for wrong in (0.0, -1.0, float("nan")):
        with pytest.raises(UsageError, match="temperature"):
            sampler.feed(sampler.start(1, [1]), conditioning, temperature=wrong)


def test_a_cold_mixture_draws_the_likeliest_component(make_model):
    model = make_model()
    conditioning = conditioning_of(model, streams=1, codes=1)[:, :1]
    sampler = Sampler(model, "float32")
    drawn, raw = sampler.feed(sampler.start(1, [0]), conditioning, temperature=1e-4, observe=True)
    classes = torch.from_numpy(drawn.astype(np.int64))
    with torch.no_grad():
        quantized, before, _ = model._shift(classes, None)
        prediction, log_gain, _ = model.lpc_inputs(quantized, conditioning, before)
        logit, mean, _ = likelihood.mixture_parameters(torch.from_numpy(raw), prediction, log_gain)
        likeliest = mean.gather(-1, logit.argmax(-1, keepdim=True))[..., 0]
    assert (mulaw_encode(likeliest) - classes).abs().max() <= 1  # a mean may lie on an edge


@pytest.mark.skipif(not NARROW, reason="needs a processor with bfloat16 products")
@pytest.mark.parametrize("narrow", NARROW)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_bfloat16_is_close(make_model, narrow, shape):
    layers, cycle, kernel, residual, gate, skip, streams = shape
    model = make_model(
        "categorical", layers=layers, dilation_cycle=cycle, kernel=kernel, residual_channels=residual,
        gate_channels=gate, skip_channels=skip,
    )  # fmt: skip
    conditioning, forced = conditioning_of(model, streams, codes=2), classes_like_speech(streams, 128)
    raw = {}
    for unit in ("floats", narrow):
        sampler = Sampler(model, unit=unit)
        raw[unit] = sampler.feed(sampler.start(streams, range(streams)), conditioning, forced=forced, observe=True)[1]
    error = raw[narrow] - raw["floats"]
    assert np.abs(error).max() < 0.05 * raw["floats"].std() + 0.02
    assert np.sqrt((error**2).mean()) < 0.01


def test_unknown_precision_is_refused(make_model):
    with pytest.raises(UsageError, match="precision 'float16'.*bfloat16"):
        Sampler(make_model(), "float16")


class _Stop(BaseException):
    """As Ctrl-C is."""


def test_what_one_worker_raises_ends_the_others(make_model):
    sampler, drawn = Sampler(make_model(), "float32", threads=2), []
    conditioning = conditioning_of(make_model(), 2, 2000)
    jobs = [job_of(conditioning, row, len(conditioning.frames[row]), seed=row) for row in (0, 1)]
    first, both = [], threading.Barrier(2, timeout=60)

    def progress(samples):
        if not drawn:
            both.wait()  # both have begun
        drawn.append(samples)
        if not first and not first.append(threading.get_ident()):
            raise _Stop
        time.sleep(0.01)  # so that the other has hardly begun when it is stopped, whatever else runs

    with pytest.raises(_Stop):
        sampler.run(jobs, progress=progress)
    assert sum(drawn) < 0.5 * sum(len(job.frames) for job in jobs) * sampler.hop
