"""Codes with a known source, and priors so small that a test may train several."""

from pathlib import Path

import numpy as np
import torch

from vqvc.codec import prior_file
from vqvc.codec.integer_prior import IntegerPrior, make_tables
from vqvc.config import PriorSettings, from_dict
from vqvc.corpus.codes import CodeArchive
from vqvc.nn.prior import Prior

SIZE, HOP, MODEL = 8, 64, "ab" * 32
TINY = {
    "prior": {
        "layers": 4, "dilation_cycle": 2, "residual_channels": 16, "gate_channels": 32, "skip_channels": 24, "speaker_dim": 4,
        "token_dropout": 0.0, "dropout": 0.0,
    },
    "training": {
        "steps": 8, "batch_size": 4, "crop_codes": 32, "context_codes": 8, "warmup_steps": 2, "precision": "float32",
        "weight_average": 0.9, "valid_minutes": 60.0, "checkpoint_minutes": 60.0,
    },
}  # fmt: skip


def tiny_settings(**sections: dict) -> PriorSettings:
    """TINY with some settings changed."""
    return from_dict({name: TINY[name] | sections.get(name, {}) for name in TINY}, kind=PriorSettings)


def second_order(length: int, rng: np.random.Generator) -> np.ndarray:
    """Codes that follow from the two before nine times in ten, and never from the one before."""
    codes = rng.integers(0, SIZE, length)
    for t in range(2, length):
        if rng.random() < 0.9:
            codes[t] = (codes[t - 1] + codes[t - 2]) % SIZE
    return codes


def tiny_archive(utterances: int = 60, length: int = 50, model: str = MODEL) -> CodeArchive:
    """Two speakers in train and dev, a third in test; utterance n is n samples short of its last code."""
    rng = np.random.default_rng(0)
    rows = []
    for n in range(utterances):
        subset = "dev" if n % 6 == 4 else "test" if n % 6 == 5 else "train"
        speaker = "p3" if subset == "test" else f"p{1 + (n + n // 6) % 2}"
        codes = second_order(length + n, rng)
        rows.append((f"{speaker}_{n:03d}", speaker, subset, len(codes) * HOP - n % HOP, codes))
    return CodeArchive.build(rows, hop_length=HOP, sample_rate=16000, codebook_size=SIZE, model=model)


def random_prior(size: int = SIZE, sharpness: float = 1.5, seed: int = 0) -> Prior:
    """Random weights, all of which matter."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = Prior(size, 2, kernel=2, layers=4, dilation_cycle=3, residual_channels=16, gate_channels=24,
                      skip_channels=20, speaker_dim=4).eval()  # fmt: skip
        with torch.no_grad():
            stack = model.wavenet.stack
            for weight in (stack.frame_bias, stack.residual_bias, stack.skip_bias, model.wavenet.out.bias):
                weight.normal_(std=0.3)
            model.wavenet.out.weight.normal_(std=sharpness)
    return model


def in_integers(model: Prior) -> IntegerPrior:
    """The integer form of a prior."""
    weights = {name: tensor.numpy() for name, tensor in model.state_dict().items()}
    return IntegerPrior(weights | make_tables(), model.wavenet.stack.dilations)


def write_prior(path: Path, model: Prior, **changes) -> str:
    """A prior's file for ``random_prior``'s settings; returns its checksum."""
    settings = from_dict(
        {"prior": TINY["prior"] | {"dilation_cycle": 3, "gate_channels": 24, "skip_channels": 20}}, kind=PriorSettings
    )
    facts = {"codes_of_model": MODEL, "codebook_size": SIZE, "hop_length": HOP, "sample_rate": 16000} | changes
    return prior_file.write(path, model, settings, ("p1", "p2"), {"steps": 0}, **facts)
