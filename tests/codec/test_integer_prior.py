"""The prior in integers: equal by steps, at once and in blocks, whatever the order of summation; near the network."""

import numpy as np
import pytest
import torch
from tiny_prior import SIZE, in_integers, random_prior

from vqvc.codec import integer_prior
from vqvc.codec.integer_prior import LOGIT_BITS, TOTAL
from vqvc.engine import spec


@pytest.fixture(scope="module")
def prior():
    return in_integers(random_prior())


def _codes(length: int) -> np.ndarray:
    return np.random.default_rng(3).integers(0, SIZE, length)


@pytest.mark.parametrize("speaker", [0, 2])
def test_steps_equal_the_whole_sequence_to_the_last_bit(prior, speaker):
    codes = _codes(120)
    whole = prior.logits(codes, speaker)
    stepper, steps = prior.stepper(speaker), []
    for code in codes:
        steps.append(stepper.logits)
        stepper.take(code)
    assert np.array_equal(np.array(steps), whole) and np.array_equal(whole, np.rint(whole))


@pytest.mark.parametrize("block", [1, 7, 64])
def test_blocks_equal_the_whole_sequence(prior, block, monkeypatch):
    codes = _codes(100)
    whole = prior.logits(codes)
    monkeypatch.setattr(integer_prior, "BLOCK", block)
    assert np.array_equal(prior.logits(codes), whole)
    assert prior.logits(codes[:0]).shape == (0, SIZE)


def test_every_order_of_summation_gives_the_same(prior, monkeypatch):
    """What another BLAS may do: channels in another order, in float64 one by one, or in whole numbers of 64 bits."""
    codes = _codes(30)
    whole = prior.logits(codes)
    assert np.abs(whole).max() > 0
    shuffled = in_integers(random_prior())
    order = np.random.default_rng(0).permutation(shuffled.width)
    shuffled.embed = shuffled.embed[:, order]
    for layer in range(len(shuffled.dilations)):
        for scaled, axis in ((shuffled.tap[layer], 0), (shuffled.residual[layer], 1)):
            index = np.concatenate([order, order + shuffled.width]) if axis == 0 else order
            scaled.values[:] = np.take(scaled.values, index, axis)
    shuffled.residual_bias = shuffled.residual_bias[:, order]
    assert np.array_equal(shuffled.logits(codes), whole)

    class Slow(np.ndarray):
        """Multiplies matrices as int64."""

        def __rmatmul__(self, other):
            return (np.asarray(other, np.int64) @ np.asarray(self).astype(np.int64)).astype(np.float64)

        __array_priority__ = 100

    exact = in_integers(random_prior())
    for scaled in (*exact.tap, *exact.residual, exact.skip, exact.mix, exact.out):
        object.__setattr__(scaled, "values", scaled.values.view(Slow))
    monkeypatch.setattr(Slow, "__array_ufunc__", lambda self, ufunc, method, *inputs, **kw: (
        Slow.__rmatmul__(inputs[1], inputs[0]) if ufunc is np.matmul else NotImplemented
    ))  # fmt: skip
    assert np.array_equal(exact.logits(codes), whole)


def of_the_network(model, codes: np.ndarray) -> np.ndarray:
    with torch.inference_mode():
        return model(torch.from_numpy(codes)[None], torch.tensor([1]))[0].numpy()


def of_the_specification(model, codes: np.ndarray) -> np.ndarray:
    decoder, speaker = spec.Decoder.of(model.wavenet), model.speaker.weight[1].detach().numpy()
    previous = np.concatenate([[SIZE], codes[:-1]])
    return decoder.head(spec.layers(decoder, decoder.embed[previous], speaker, spec.shifted(decoder)))


@pytest.mark.parametrize("reference", [of_the_network, of_the_specification])
def test_integers_are_near(reference, prior):
    codes = _codes(200)
    expected = torch.from_numpy(reference(random_prior(), codes)).double()
    ours = torch.from_numpy(prior.logits(codes, 1) / (1 << LOGIT_BITS))
    assert (ours.log_softmax(-1) - expected.log_softmax(-1)).abs().max() < 0.02


def test_frequencies_are_whole_positive_and_sum_to_the_total(prior):
    logits = np.concatenate([prior.logits(_codes(50)), [[0] * SIZE, [1 << 30] + [0] * (SIZE - 1)]])
    shares = prior.frequencies(logits)
    assert shares.dtype == np.int64 and shares.min() >= 1 and (shares.sum(-1) == TOTAL).all()
    expected = np.exp((logits - logits.max(-1, keepdims=True)) / (1 << LOGIT_BITS))
    assert np.abs(shares / TOTAL - expected / expected.sum(-1, keepdims=True)).max() < 1e-3


def test_huge_weights_saturate_and_stay_exact():
    model = random_prior()
    with torch.no_grad():
        for weight in model.parameters():
            weight.mul_(1e4)
    prior = in_integers(model)
    codes = _codes(20)
    whole = prior.logits(codes)
    assert np.isfinite(whole).all() and np.abs(whole).max() < 2**52
    stepper = prior.stepper()
    for t, code in enumerate(codes):
        assert np.array_equal(stepper.logits, whole[t])
        stepper.take(code)
