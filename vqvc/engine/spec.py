"""The WaveNet's arithmetic in plain NumPy, a sample at a time: the specification that every engine is tested against.

It is written to be read, not to be fast. One sample of B streams, from top to bottom:

    class and LPC residual before it -> x                ``enter``
    x and the conditioning frame -> sum of the skips     ``layers``
    sum of the skips -> raw outputs                      ``head``
    raw outputs and two uniform numbers -> class         ``choose``
    class -> what the next sample looks back at          ``remember``

B: streams, L: layers, K: taps, R, G, S: residual, gate and skip channels, H = G / 2, C: conditioning channels, P: order of
the linear prediction, M: logistics of the mixture.
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from vqvc.audio import mulaw
from vqvc.nn.likelihood import MIN_LOG_SCALE
from vqvc.nn.linear_prediction import LPC_INPUT_GAIN, LPC_RESIDUAL_LIMIT
from vqvc.nn.wavenet import WaveNet

WORD = 2**64
GOLDEN, MIX_1, MIX_2 = 0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB  # SplitMix64 (Steele et al. 2014)


@dataclass(frozen=True)
class Decoder:
    """The WaveNet's weights as float32 arrays. ``lpc_input`` is None for the categorical output, which has no LPC inputs."""

    tap: np.ndarray  # (L, K, R, G); tap K - 1 is the present
    frame: np.ndarray  # (L, C, G)
    gate_bias: np.ndarray  # (L, G)
    residual: np.ndarray  # (L, H, R)
    residual_bias: np.ndarray  # (L, R)
    skip: np.ndarray  # (L, H, S)
    skip_bias: np.ndarray  # (S,)
    embed: np.ndarray  # (256, R)
    lpc_input: np.ndarray | None  # (2, R)
    mix: np.ndarray  # (S, S)
    mix_bias: np.ndarray  # (S,)
    out: np.ndarray  # (S, 256), or (S, 3 M): log weights, offsets, log scales
    out_bias: np.ndarray
    dilations: tuple[int, ...]  # (L,)

    @classmethod
    def of(cls, net: WaveNet) -> "Decoder":
        """The weights of a network, copied."""
        stack = net.stack
        layers, _, _, gates = stack.tap.shape

        def array(tensor) -> np.ndarray:
            return tensor.detach().float().cpu().numpy().copy()

        return cls(
            tap=array(stack.tap),
            frame=array(stack.frame).reshape(-1, layers, gates).transpose(1, 0, 2),
            gate_bias=array(stack.frame_bias).reshape(layers, gates),
            residual=array(stack.residual),
            residual_bias=array(stack.residual_bias),
            skip=array(stack.skip),
            skip_bias=array(stack.skip_bias),
            embed=array(net.embed.weight),
            lpc_input=None if net.lpc_input is None else array(net.lpc_input.weight.T),
            mix=array(net.mix.weight.T),
            mix_bias=array(net.mix.bias),
            out=array(net.out.weight.T),
            out_bias=array(net.out.bias),
            dilations=stack.dilations,
        )


@dataclass
class State:
    """What B streams remember between two samples."""

    inputs: list[deque]  # of each layer, as many (B, R) as it looks back at, the latest last
    previous: np.ndarray  # (B,) int64, the class before
    past: np.ndarray  # (B, P) amplitudes, the latest first
    lpc_residual: np.ndarray  # (B,) of the sample before, in units of the gain

    @classmethod
    def silent(cls, decoder: Decoder, streams: int, order: int) -> "State":
        """Nothing but silence before."""
        nothing = np.zeros((streams, decoder.tap.shape[2]), np.float32)
        reach = [(decoder.tap.shape[1] - 1) * dilation for dilation in decoder.dilations]
        return cls(
            inputs=[deque([nothing] * count, maxlen=count) for count in reach],
            previous=np.full(streams, mulaw.SILENCE),
            past=np.zeros((streams, order), np.float32),
            lpc_residual=np.zeros(streams, np.float32),
        )


def predict(state: State, predictor: np.ndarray) -> np.ndarray:
    """(B,): the linear prediction of the next amplitude, for coefficients (B, P), the latest sample's first."""
    return (predictor * state.past).sum(1)


def enter(decoder: Decoder, state: State, prediction: np.ndarray | None) -> np.ndarray:
    """(B, R): what the first layer takes."""
    x = decoder.embed[state.previous]
    if decoder.lpc_input is not None:
        x = x + np.stack([LPC_INPUT_GAIN * prediction, state.lpc_residual], axis=1) @ decoder.lpc_input
    return x


def layers(decoder: Decoder, state: State, x: np.ndarray, frame: np.ndarray) -> np.ndarray:
    """(B, S): the sum of the skips, for a conditioning frame (B, C); the layers' inputs are remembered."""
    half, skip = decoder.residual.shape[1], decoder.skip_bias
    for layer, (dilation, inputs) in enumerate(zip(decoder.dilations, state.inputs)):
        taps = decoder.tap[layer]
        gate = x @ taps[-1] + frame @ decoder.frame[layer] + decoder.gate_bias[layer]
        for k in range(len(taps) - 1):
            gate = gate + inputs[-(len(taps) - 1 - k) * dilation] @ taps[k]
        inputs.append(x)
        z = np.tanh(gate[:, :half]) * sigmoid(gate[:, half:])
        x = x + z @ decoder.residual[layer] + decoder.residual_bias[layer]
        skip = skip + z @ decoder.skip[layer]
    return skip


def head(decoder: Decoder, skip: np.ndarray) -> np.ndarray:
    """(B, outputs): raw outputs of the summed skips (B, S)."""
    hidden = np.maximum(skip, 0) @ decoder.mix + decoder.mix_bias
    return np.maximum(hidden, 0) @ decoder.out + decoder.out_bias


def step(
    decoder: Decoder, state: State, frame: np.ndarray, predictor: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray | None]:
    """Raw outputs (B, outputs) for the next sample, and its linear prediction (B,), None for the categorical output."""
    prediction = None if decoder.lpc_input is None else predict(state, predictor)
    return head(decoder, layers(decoder, state, enter(decoder, state, prediction), frame)), prediction


def choose(
    raw: np.ndarray,
    uniform: np.ndarray,
    temperature: float = 1.0,
    prediction: np.ndarray | None = None,
    gain: np.ndarray | None = None,
) -> np.ndarray:
    """Classes (B,) int64 drawn with two uniform numbers (B, 2) for each stream.

    A mixture of logistics lies around the linear prediction (B,) and is scaled by the gain (B,): a component is drawn by
    the first number, an amplitude from it by the second. Without prediction a class is drawn by the first.
    """
    raw, rows = raw.astype(np.float64), np.arange(len(raw))
    if prediction is None:
        return _index(raw / temperature, uniform[:, 0])
    logit, offset, log_scale = np.split(raw, 3, axis=1)
    chosen = _index(logit / temperature, uniform[:, 0])
    scale = np.exp(np.maximum(np.log(gain) + log_scale[rows, chosen], MIN_LOG_SCALE))
    logistic = np.log(uniform[:, 1]) - np.log1p(-uniform[:, 1])
    return mulaw.encode(prediction + gain * offset[rows, chosen] + temperature * scale * logistic)


def remember(state: State, classes: np.ndarray, prediction: np.ndarray | None, gain: np.ndarray | None) -> None:
    """Go on to the next sample after ``classes`` (B,), drawn or given."""
    state.previous = classes
    if prediction is not None:
        amplitude = mulaw.decode(classes)
        state.lpc_residual = np.clip((amplitude - prediction) / gain, -LPC_RESIDUAL_LIMIT, LPC_RESIDUAL_LIMIT)
        state.past = np.concatenate([amplitude[:, None], state.past[:, :-1]], axis=1)


def uniforms(seeds: Sequence[int], position: int) -> np.ndarray:
    """(B, 2) float64 in (0, 1) for the sample at ``position`` of a recording: SplitMix64's mixing function as a counter."""
    return np.array([[_mixed(seed + GOLDEN * (2 * position + which + 1)) for which in range(2)] for seed in seeds])


def sigmoid(x: np.ndarray) -> np.ndarray:
    """1 / (1 + exp(-x)), without overflow."""
    return 0.5 + 0.5 * np.tanh(0.5 * x)


def _mixed(z: int) -> float:
    z %= WORD
    z = (z ^ z >> 30) * MIX_1 % WORD
    z = (z ^ z >> 27) * MIX_2 % WORD
    return ((z ^ z >> 31) >> 11) / 2**53 + 2**-54


def _index(logits: np.ndarray, u: np.ndarray) -> np.ndarray:
    """Indices (B,) drawn from softmax(logits) by its cumulative sum."""
    mass = np.exp(logits - logits.max(1, keepdims=True)).cumsum(1)
    return np.minimum((mass <= u[:, None] * mass[:, -1:]).sum(1), logits.shape[1] - 1)
