"""An encoder for degraded recordings: it gives them the codes that a trained encoder gives the original.

Codes of a recording with noise, reverberation or an unusual channel lose words that a decoder cannot restore. Here the encoder of a
trained model reads such recordings and learns the codes of the originals (distillation: Hinton et al. 2015). Codebook and decoder
stay as they are, so no other part has to be trained again, and a code keeps its meaning. The loss for z_e and the original's code c is

    cross entropy of c under softmax_k(-SHARPNESS ||z_e - e_k||^2) + beta ||z_e - e_c||^2

A part of the crops stays undegraded, so that clean speech keeps its codes.
"""

import copy
import logging
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from vqvc.config import Config
from vqvc.corpus import perturbation
from vqvc.corpus.store import PackedStore
from vqvc.nn.precision import working_dtype
from vqvc.nn.quantizer import Quantizer
from vqvc.nn.vqvae import VQVAE
from vqvc.training.average import AveragedModel
from vqvc.training.crops import Batch, Crops

SHARPNESS = 0.2  # of the distribution of codes around z_e, whose dimensions have unit variance
EQUALIZER_DB, TILT_DB = 6.0, 2.0  # deviation of the equalizer's gains; of its slope, per octave
NOISE_SHARE, NOISE_SNR_DB = 0.5, (5.0, 35.0)
LOG_STEPS = 20
logger = logging.getLogger("vqvc.training")


def learn(
    config: Config, start: VQVAE, store: PackedStore, speakers: Sequence[str], device: torch.device | str = "cpu"
) -> VQVAE:
    """A copy of ``start`` whose encoder learned from the speakers' training speech, ``training.degraded_fraction`` of it degraded.

    Copies that the store has are degraded like the originals, ``training.perturbed_fraction`` of the crops. Raises CorpusError
    when such copies are missing or the training subset is empty.
    """
    settings, device = config.training, torch.device(device)
    dtype = working_dtype(settings.precision, device)
    teacher = copy.deepcopy(start).to(device).eval().requires_grad_(False)
    model = copy.deepcopy(teacher)
    weights = list(model.encoder.requires_grad_(True).parameters())
    average = AveragedModel(model.encoder, settings.weight_average)
    optimizer = torch.optim.Adam(weights, settings.learning_rate, betas=(0.9, 0.98))
    crops = Crops(
        store, "train", tuple(speakers), batch_size=settings.batch_size, crop_samples=settings.crop_samples,
        speaker_balance=settings.speaker_balance, perturbed_fraction=settings.perturbed_fraction, seed=settings.seed,
    )  # fmt: skip
    total = 0.0
    for batch in crops.batches(0, settings.steps):
        for group in optimizer.param_groups:
            group["lr"] = settings.learning_rate * _share_of_rate(batch.step, settings.warmup_steps, settings.steps)
        source = degraded(batch, settings.degraded_fraction, store.sample_rate, settings.seed)
        scored = torch.from_numpy(batch.scored[:, :: config.hop_length]).to(device)
        with torch.autocast(device.type, dtype, enabled=dtype != torch.float32):
            codes = teacher.encode(torch.from_numpy(batch.waveform).to(device))
            z_e = model.latents(torch.from_numpy(source).to(device))
        loss = code_loss(model.quantizer, z_e.mT[scored], codes[scored])
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(weights, settings.gradient_clip)
        optimizer.step()
        average.update(model.encoder, batch.step)
        total += float(loss.detach())
        if (batch.step + 1) % LOG_STEPS == 0:
            logger.info("step %d: loss %.3f", batch.step + 1, total / LOG_STEPS)
            total = 0.0
    model.encoder.load_state_dict(average.module.state_dict())
    return model.eval()


def code_loss(quantizer: Quantizer, z_e: Tensor, codes: Tensor) -> Tensor:
    """The loss, a scalar, of vectors z_e (N, D) whose codes should be ``codes`` (N,)."""
    z_e, codebook = z_e.float(), quantizer.codebook
    squares = torch.cdist(z_e[None], codebook[None], compute_mode="use_mm_for_euclid_dist")[0].square()
    commitment = (z_e - codebook[codes]).square().mean()
    return nn.functional.cross_entropy(-SHARPNESS * squares, codes) + quantizer.commitment_cost * commitment


def degraded(batch: Batch, fraction: float, sample_rate: int, seed: int) -> np.ndarray:
    """The sources (B, T) float32 of a batch; each is degraded with probability ``fraction``, by draws of (seed, step) alone."""
    rng = np.random.Generator(np.random.Philox(key=seed, counter=[0, 0, 1, batch.step]))
    return np.stack([_degrade(row, sample_rate, rng) if rng.random() < fraction else row for row in batch.source])


def _degrade(samples: np.ndarray, sample_rate: int, rng: np.random.Generator) -> np.ndarray:
    result = perturbation.equalize(samples, sample_rate, rng, EQUALIZER_DB, TILT_DB)
    return perturbation.record(result, sample_rate, rng, NOISE_SHARE, NOISE_SNR_DB, perturbation.rms(samples))


def _share_of_rate(step: int, warmup: int, steps: int) -> float:
    """Linear rise, then linear fall to 0."""
    return min(1.0, (step + 1) / max(1, warmup)) * (1 - step / steps)
