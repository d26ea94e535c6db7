"""The kernel of the GPU's engine, interpreted, beside plain PyTorch: run by ``test_gpu_kernel``, which see.

python kernel_cases.py NAME ...    prints what it found; exit status 0 if that is as it should be
"""

import sys

import interpreted
import numpy as np
import torch
from inputs import conditioning_of
from tiny_voice import tiny_model

from vqvc.engine.gpu import kernel as gpu_kernel
from vqvc.engine.gpu import span
from vqvc.engine.gpu.sampler import GpuSampler
from vqvc.engine.gpu.span import Plan, SpanRows
from vqvc.errors import VqvcError

NAMES = ("layers", "dilation_cycle", "kernel", "residual_channels", "gate_channels", "skip_channels")
ODD, DEEP, POINTWISE = (
    dict(zip(NAMES, sizes)) for sizes in ((3, 2, 3, 7, 6, 5), (3, 3, 2, 20, 70, 33), (2, 2, 1, 17, 34, 60))
)
CASES = {  # output, precision, decoder, streams, plan
    "alone": ("mixture", "float32", DEEP, 18, Plan(16, 1, 4, 1)),
    "alone-categorical": ("categorical", "float32", ODD, 3, Plan(16, 1, 4, 1)),
    "alone-bfloat16": ("mixture", "bfloat16", ODD, 2, Plan(16, 1, 4, 1)),
    "team": ("categorical", "float32", DEEP, 3, Plan(16, 2, 4, 2)),
    "team-bfloat16": ("mixture", "bfloat16", ODD, 2, Plan(16, 2, 4, 1)),
    "team-pointwise": ("mixture", "float32", POINTWISE, 2, Plan(16, 2, 4, 1)),
}
FRAMES, HOP = 3, 2  # of which launches of two frames, see below


def compare(name: str) -> None:
    """The same rows generate twice, some started again between; classes are given at first, and in bfloat16 throughout."""
    output, precision, decoder, streams, plan = CASES[name]
    model = tiny_model(output, **decoder, conditioning_hop=HOP)
    engine, drawn, raw = GpuSampler(model, precision, "cpu"), [], []
    conditioning, count = (
        conditioning_of(model, streams, FRAMES)[:, :FRAMES],
        HOP + 1 if precision == "float32" else HOP * FRAMES,
    )
    given = np.random.default_rng(1).integers(90, 160, (streams, count))
    kernel = SpanRows(engine.weights, engine.kind, streams, HOP, engine.order, engine.device, plan)
    kernel.begin(range(streams), range(streams), [0] * streams)
    for rows in (engine.start(streams, range(streams)), kernel):
        first = engine.feed(rows, conditioning, 0.8, forced=given, observe=True)
        rows.begin([0, streams - 1], [2**64 - 1, 5], [7, 2**40])
        again = given[:, : 0 if precision == "float32" else HOP]
        both = zip(first, engine.feed(rows, conditioning[:, :1], 1.1, forced=again, observe=True))
        for all_of, parts in zip((drawn, raw), both):
            all_of.append(np.concatenate(parts, axis=1))
    far = np.abs(raw[1] - raw[0])
    print(f"{name}: largest difference {far.max():.1e}, mean {far.mean():.1e}, of a deviation of {raw[0].std():.2f}")
    assert np.array_equal(*drawn)
    assert far.max() < 1e-5 if precision == "float32" else far.mean() < 0.02 * raw[0].std()


def give_up() -> None:
    """A member of the team that never comes ends in an error, not in waiting for ever."""
    gpu_kernel.PATIENCE = interpreted.tl.constexpr(20)
    interpreted.missing.add(1)
    model = tiny_model("mixture", **POINTWISE)
    engine = GpuSampler(model, "float32", "cpu")
    rows = SpanRows(engine.weights, engine.kind, 1, engine.hop, engine.order, engine.device, Plan(16, 2, 4, 1))
    try:
        engine.feed(rows, conditioning_of(model, 1, FRAMES)[:, :1])
    except VqvcError as error:
        print(error)
    else:
        raise AssertionError("no error")


if __name__ == "__main__":
    torch.set_num_threads(1)
    span.SPAN = 2
    for name in sys.argv[1:]:
        give_up() if name == "give-up" else compare(name)
