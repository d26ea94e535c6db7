"""What tests of the engines synthesize: conditioning, past samples, and jobs of them; and what it is compared with."""

import numpy as np
import torch
from network import log_probabilities, raw_outputs

from vqvc.engine.protocol import Engine, Job
from vqvc.nn.vqvae import VQVAE, Conditioning


def conditioning_of(model: VQVAE, streams: int, codes: int) -> Conditioning:
    """Conditioning of streams of random codes, for one speaker after the other."""
    generator = torch.Generator().manual_seed(0)
    chosen = torch.randint(0, model.config.quantizer.codebook_size, (streams, codes), generator=generator)
    with torch.no_grad():
        return model.condition(model.quantizer.lookup(chosen), torch.arange(streams) % 3)


def classes_like_speech(streams: int, samples: int) -> np.ndarray:
    """(streams, samples) int64 that move slowly around silence."""
    walk = np.random.default_rng(3).normal(0, 6, (streams, samples)).cumsum(1)
    return np.clip(128 + walk - walk.mean(1, keepdims=True), 0, 255).astype(np.int64)


def job_of(conditioning: Conditioning, row: int, frames: int, seed: int, position: int = 0) -> Job:
    """The first frames of a stream."""
    part = conditioning[row, :frames]
    predictor, gain = (None, None) if part.log_gain is None else (part.predictor.numpy(), part.log_gain.exp().numpy())
    return Job(part.frames.numpy(), predictor, gain, seed, position)


def require_equal_to_network(engine: Engine, model: VQVAE, streams: int) -> None:
    """Teacher-forced, an engine in float32 means the distributions of the network, and takes the classes that it is given."""
    conditioning, forced = conditioning_of(model, streams, codes=2), classes_like_speech(streams, 128)
    drawn, raw = engine.feed(engine.start(streams, range(streams)), conditioning, forced=forced, observe=True)
    assert np.array_equal(drawn, forced)
    classes = torch.from_numpy(forced)
    expected = log_probabilities(model, raw_outputs(model, classes, conditioning), classes, conditioning)
    found = log_probabilities(model, torch.from_numpy(raw), classes, conditioning)
    assert expected.std() > 0.1  # weights that matter
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-5)
