"""Every engine of the sampling loop beside ``vqvc.engine.spec``; run by ``test_engines``, which see.

python engine_cases.py ENGINE OUTPUT    checks one of ``KERNELS``, for which Triton's interpreter has to be chosen before
triton is imported; exit status 0 if it is as it should be
"""

import sys
from dataclasses import dataclass

if __name__ == "__main__":
    import interpreted  # noqa: F401  before whatever imports triton

import numpy as np
import torch
from inputs import conditioning_of
from network import raw_outputs
from tiny_voice import tiny_model

from vqvc.engine import spec
from vqvc.engine.cpu import units
from vqvc.engine.cpu.sampler import Sampler
from vqvc.engine.gpu.sampler import GpuSampler
from vqvc.engine.gpu.span import Plan, SpanRows
from vqvc.nn.vqvae import VQVAE, Conditioning

HOP, TEMPERATURE, POSITION = 4, 0.9, 2**33
NAMES = ("layers", "dilation_cycle", "kernel", "residual_channels", "gate_channels", "skip_channels")
SHAPES = {  # decoder, streams, frames
    "odd": ((3, 2, 3, 7, 6, 5), 3, 8),
    "deep": ((5, 4, 2, 20, 70, 33), 18, 8),
    "pointwise": ((2, 2, 1, 17, 34, 60), 2, 4),
    "short": ((3, 3, 2, 20, 36, 33), 3, 3),  # for the interpreter, which is slow
}
NETWORK = {"network": "float32", "network-bfloat16": "bfloat16"}
PROCESSOR = {unit: units.PRECISIONS[unit] for unit in units.available()}
PYTORCH = {"rows": "float32", "rows-bfloat16": "bfloat16"}
GPU = {"gpu": "float32", "gpu-bfloat16": "bfloat16"} if torch.cuda.is_available() else {}
KERNELS = {"kernel": "float32", "kernel-bfloat16": "bfloat16", "team": "float32", "team-bfloat16": "bfloat16"}
PRECISIONS = NETWORK | PROCESSOR | PYTORCH | GPU | KERNELS
FAR = {"float32": 2e-5, "bfloat16": 0.05}  # largest difference from the spec, in deviations of the outputs
NEAR = {"float32": 2e-6, "bfloat16": 0.01}  # and its root mean square
TURNED = 0.01  # share of draws on an edge that rounding may turn


@dataclass(frozen=True)
class Case:
    """A model and what it is conditioned on; seeds (streams,)."""

    model: VQVAE
    conditioning: Conditioning
    seeds: tuple[int, ...]

    @classmethod
    def of(cls, output: str, shape: str) -> "Case":
        decoder, streams, frames = SHAPES[shape]
        model = tiny_model(output, **dict(zip(NAMES, decoder)), conditioning_hop=HOP)
        conditioning = conditioning_of(model, streams, codes=2)[:, 14 : 14 + frames]  # across two codes
        return cls(model, conditioning, tuple(2**64 - 1 - row for row in range(streams)))

    def array(self, name: str) -> np.ndarray | None:
        part = getattr(self.conditioning, name)
        return None if part is None else part.detach().numpy()


def sampled(engine: str, case: Case) -> tuple[np.ndarray, np.ndarray]:
    """Classes (streams, T) that an engine draws, and the raw outputs (streams, T, outputs) that it draws from."""
    streams, precision = len(case.seeds), PRECISIONS[engine]
    positions = [POSITION] * streams
    if engine in KERNELS:
        made = GpuSampler(case.model, precision, "cpu")
        plan = Plan(16, 2, 4, 2) if engine.startswith("team") else Plan(16, 1, 4, 1)
        state = SpanRows(made.weights, made.kind, streams, HOP, made.order, made.device, plan)
        state.begin(range(streams), case.seeds, positions)
    else:
        made = (
            Sampler(case.model, threads=1, unit=engine)
            if engine in PROCESSOR
            else GpuSampler(case.model, precision, "cuda" if engine in GPU else "cpu")
        )
        state = made.start(streams, case.seeds, positions)
    return made.feed(state, case.conditioning, TEMPERATURE, observe=True)


def teacher_forced(case: Case, classes: np.ndarray, precision: str) -> np.ndarray:
    """Raw outputs (streams, T, outputs) of the network itself, all samples at once."""
    given = torch.from_numpy(classes.astype(np.int64))
    return raw_outputs(case.model, given, case.conditioning, getattr(torch, precision)).numpy()


def specified(case: Case, classes: np.ndarray, raw: np.ndarray | None) -> tuple[np.ndarray, np.ndarray | None]:
    """Raw outputs of the spec after the same classes, and what it draws from an engine's raw outputs."""
    model, found, drawn = case.model, [], []
    decoder = spec.Decoder.of(model.wavenet)
    state = spec.State.silent(decoder, len(classes), model.config.decoder.lpc_order)
    frames, predictor, log_gain = (case.array(name) for name in ("frames", "predictor", "log_gain"))
    for t in range(classes.shape[1]):
        frame = t // HOP
        lpc_inputs = (None, None) if predictor is None else (predictor[:, frame], np.exp(log_gain[:, frame]))
        outputs, prediction = spec.step(decoder, state, frames[:, frame], lpc_inputs[0])
        if raw is not None:
            uniform = spec.uniforms(case.seeds, POSITION + t)
            drawn.append(spec.choose(raw[:, t], uniform, TEMPERATURE, prediction, lpc_inputs[1]))
        found.append(outputs)
        spec.remember(state, classes[:, t].astype(np.int64), prediction, lpc_inputs[1])
    return np.stack(found, 1), np.stack(drawn, 1) if drawn else None


def check(engine: str, output: str, shape: str) -> None:
    """Raise AssertionError unless an engine equals the spec: its outputs after its own past, and its draws from them."""
    case = Case.of(output, shape)
    if engine in NETWORK:
        classes = sampled("floats", case)[0]
        raw = teacher_forced(case, classes, PRECISIONS[engine])
        expected, drawn = specified(case, classes, None)[0], classes
    else:
        classes, raw = sampled(engine, case)
        expected, drawn = specified(case, classes, raw)
    assert raw.shape == expected.shape
    deviation, error = expected.std(), raw - expected
    far, near = np.abs(error).max() / deviation, np.sqrt((error**2).mean()) / deviation
    turned = (drawn != classes).mean()
    print(f"{engine} {output} {shape}: largest {far:.1e}, root mean square {near:.1e}, draws turned {turned:.2%}")
    assert deviation > 0.1 and len(np.unique(classes)) > 5  # weights and draws that matter
    assert far < FAR[PRECISIONS[engine]] and near < NEAR[PRECISIONS[engine]]
    assert turned <= TURNED


if __name__ == "__main__":
    torch.set_num_threads(1)
    check(sys.argv[1], sys.argv[2], "short")
