"""Validation: bits per held-out sample with an utterance's own codes and with another's, and codebook usage."""

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass

import numpy as np
import torch
from torch import Tensor, nn

from vqvc.corpus.store import PackedStore
from vqvc.nn.features import SILENCE, mulaw_encode
from vqvc.nn.quantizer import perplexity
from vqvc.nn.vqvae import VQVAE, Conditioning
from vqvc.training.objective import mel_error

WINDOW_FRAMES = 160  # conditioning frames scored at a time


@dataclass(frozen=True)
class HeldOut:
    """Figures on whole held-out utterances.

    bits_per_sample: mean -log2 p of a sample's µ-law class.
    bits_shuffled_codes: the same with the codes of the next utterance; higher if the decoder uses the codes.
    bits_without_f0: the same with the utterance's codes but without its F0; None for a model without F0.
    mel_error: mean absolute error of the auxiliary head; None for a model without it.
    codes_used: how many of the ``codebook_size`` codes occurred. perplexity: of their distribution.
    samples: how many were scored. skip_decoder: whether the WaveNet was left out, as during decoder warm-up.
    """

    bits_per_sample: float
    bits_shuffled_codes: float
    bits_without_f0: float | None
    mel_error: float | None
    codes_used: int
    codebook_size: int
    perplexity: float
    samples: int
    skip_decoder: bool = False

    @property
    def bits(self) -> float:
        return self.bits_per_sample

    def as_dict(self) -> dict:
        """Plain numbers, for logs."""
        return asdict(self) | {"usage": self.codes_used / self.codebook_size}

    def __str__(self) -> str:
        return (
            f"held out {self.bits_per_sample:.3f} bits per sample ({self.bits_shuffled_codes:.3f} with another utterance's codes), "
            f"{self.codes_used} of {self.codebook_size} codes"
        )


@torch.inference_mode()
def validate(
    model: VQVAE,
    store: PackedStore,
    subset: str,
    speakers: tuple[str, ...],
    *,
    seconds: float = math.inf,
    dtype: torch.dtype = torch.float32,
    skip_decoder: bool = False,
    stop: Callable[[], bool] = lambda: False,
) -> HeldOut | None:
    """Score utterances of ``subset`` by ``speakers``, picked at regular intervals so that they hold about ``seconds``.

    The model must be in evaluation mode. dtype: of the WaveNet's layers. Returns None if ``stop()`` becomes true.
    """
    device = next(model.parameters()).device
    utterances = [utterance for utterance in store.subset(subset) if utterance.speaker in speakers]
    utterances = _evenly(utterances, seconds * store.sample_rate)
    hop = model.hop_length
    encoded: list[tuple[Tensor, Tensor, Tensor, Tensor | None]] = []
    for utterance in utterances:
        if stop():
            return None
        samples = store.waveform(utterance)
        padded = np.pad(samples, (0, -len(samples) % hop))
        waveform = torch.from_numpy(padded)[None].to(device)
        speaker = torch.tensor([speakers.index(utterance.speaker)], device=device)
        encoded.append((waveform, model.encode(waveform), speaker, model.f0_contour(waveform)))
    nats, nats_shuffled, nats_without, mel, scored = 0.0, 0.0, 0.0, 0.0, 0
    counts = torch.zeros(model.config.quantizer.codebook_size)
    for i, (waveform, codes, speaker, f0_contour) in enumerate(encoded):
        if stop():
            return None
        counts += torch.bincount(codes.flatten().cpu(), minlength=len(counts))
        classes = mulaw_encode(waveform)
        conditioning = model.condition(model.quantizer.lookup(codes), speaker, f0_contour)
        nats += _total_nll(model, classes, conditioning, dtype, skip_decoder)
        if model.has_mel:
            mel += float(mel_error(model, waveform, conditioning)) * classes.numel()
        next_codes = encoded[(i + 1) % len(encoded)][1]
        next_codes = next_codes.repeat(1, -(-codes.shape[1] // next_codes.shape[1]))[:, : codes.shape[1]]
        conditioning = model.condition(model.quantizer.lookup(next_codes), speaker, f0_contour)
        nats_shuffled += _total_nll(model, classes, conditioning, dtype, skip_decoder)
        if f0_contour is not None:
            conditioning = model.condition(model.quantizer.lookup(codes), speaker)
            nats_without += _total_nll(model, classes, conditioning, dtype, skip_decoder)
        scored += classes.numel()

    def bits(nats: float) -> float:
        return nats / scored / math.log(2) if scored else math.nan

    return HeldOut(
        bits_per_sample=bits(nats),
        bits_shuffled_codes=bits(nats_shuffled),
        bits_without_f0=bits(nats_without) if model.f0_conditioner is not None else None,
        mel_error=mel / scored if scored and model.has_mel else None,
        codes_used=int((counts > 0).sum()),
        codebook_size=len(counts),
        perplexity=perplexity(counts),
        samples=scored,
        skip_decoder=skip_decoder,
    )


def _total_nll(
    model: VQVAE, classes: Tensor, conditioning: Conditioning, dtype: torch.dtype, skip_decoder: bool
) -> float:
    """Sum of -log p in nats over an utterance (1, T), computed in windows, so that memory is bounded.

    A window begins a receptive field early. Its samples then have their whole past, and the sum is exact.
    """
    hop = model.config.decoder.conditioning_hop
    context = -(-model.wavenet.stack.receptive_field // hop) * hop
    window = WINDOW_FRAMES * hop
    order, total = max(1, model.config.decoder.lpc_order), 0.0
    padded = nn.functional.pad(classes, (order, 0), value=SILENCE)
    for start in range(0, classes.shape[1], window):
        low, high = max(0, start - context), min(classes.shape[1], start + window)
        frames = conditioning[:, low // hop : high // hop]
        before = padded[:, low : low + order]  # the ``order`` classes before ``low``
        nll = model.negative_log_likelihood(classes[:, low:high], frames, before, dtype, skip_decoder)
        total += float(nll[:, start - low :].sum())
    return total


def _evenly(utterances: list, samples: float) -> list:
    """Every n-th utterance, with n such that they hold about ``samples``."""
    total = sum(u.length_samples for u in utterances)
    stride = max(1, math.ceil(total / samples)) if samples < total else 1
    return utterances[::stride]
