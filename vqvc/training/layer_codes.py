"""Codes of a layer of a trained encoder, from which a decoder with context restores it.

The nearest of 128 codes in the layer itself stands for a phone between its neighbours and in a speaker's mouth. Codes from which
a decoder restores the layer need not, when it sees the codes beside each and what the utterance has in common: it adds what
follows from them, as the decoder of a VQ-VAE does (Chorowski et al. 2019). No labels are used.

The layer is computed once, of whole utterances, and stays as it is; what is above it learns in minutes on one core.
"""

import logging
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Generator, Tensor, nn

from vqvc.config import Config
from vqvc.corpus.store import PackedStore
from vqvc.errors import TrainingError
from vqvc.nn.builder import build_code_encoder
from vqvc.nn.code_encoder import CodeEncoder
from vqvc.nn.convolution import Convolution
from vqvc.nn.encoder import Encoder
from vqvc.nn.quantizer import kmeans
from vqvc.training.objective import jitter
from vqvc.training.whole_utterances import latents_of

MOST_CODES = 1_000_000  # of training speech, 11 hours at 25 Hz
FIT_ROWS = 40_000  # vectors from which principal components and codebook start
PASSES = 4.0  # deviations above 0 at which the rectifier before the output begins, so that hardly a number is cut off
TAPS, BLOCKS, CHANNELS = 5, 2, 192  # codes that the decoder joins, its further convolutions of 3 codes, and their width
LOG_STEPS = 100
logger = logging.getLogger("vqvc.training")


@dataclass(frozen=True)
class Layer:
    """A layer's output for an utterance: rows (T, C) float16, and common (2 C,), mean and deviation of ``normalised`` rows,

    less their mean over utterances and over their deviation.
    """

    rows: Tensor
    common: Tensor


class LayerDecoder(nn.Module):
    """Codes' vectors (B, T, D) and what utterances have in common (B, 2 C) -> the layer (B, T, C)."""

    def __init__(self, dim: int, width: int):
        super().__init__()
        self.enter = Convolution(dim, CHANNELS, taps=TAPS)
        self.common = nn.Linear(2 * width, CHANNELS)
        self.blocks = nn.ModuleList(Convolution(CHANNELS, CHANNELS, taps=3) for _ in range(BLOCKS))
        self.out = Convolution(CHANNELS, width)
        with torch.no_grad():  # as PyTorch's own layers begin: with larger weights it learns several times as slowly
            for layer in (self.enter, *self.blocks, self.out):
                layer.weight.mul_(3**-0.5)

    def forward(self, vectors: Tensor, common: Tensor) -> Tensor:
        x = self.enter(vectors) + self.common(common)[:, None]
        for block in self.blocks:
            x = x + block(torch.relu(x))
        return self.out(torch.relu(x))


def normalised(rows: Tensor) -> Tensor:
    """A layer's output (..., C), each step over its own mean and deviation."""
    return nn.functional.layer_norm(rows.float(), rows.shape[-1:], eps=1e-3)


def learn(
    config: Config, source: CodeEncoder, store: PackedStore, speakers: Sequence[str], device: torch.device | str = "cpu"
) -> CodeEncoder:
    """An encoder of ``config`` whose codes represent layer ``training.target_layer`` of ``source``, for the speakers' training speech.

    Raises TrainingError when ``source`` has other layers up to there than ``config``, or there is too little speech.
    """
    settings = config.training
    torch.manual_seed(settings.seed)
    model, device = build_code_encoder(config.model).to(device), torch.device(device)
    count = settings.target_layer
    take_layers(model.encoder, source.to(device).encoder, count)
    crop = settings.crop_samples // config.hop_length
    layers = _layers(model, count, store, speakers, crop, device)
    generator = torch.Generator().manual_seed(settings.seed)
    some = _some(layers, generator).to(device)
    start_at_components(model.encoder, some)
    decoder = LayerDecoder(config.quantizer.codebook_dim, some.shape[1]).to(device)
    above = [*model.encoder.context[count:].parameters(), *model.encoder.norm_out.parameters()]
    above += [*model.encoder.project.parameters()]
    optimizer = torch.optim.Adam([*above, *decoder.parameters()], settings.learning_rate, betas=(0.9, 0.98))
    model.quantizer.train()
    total = 0.0
    for step, (rows, common) in enumerate(_batches(layers, settings.batch_size, crop, settings.steps, generator)):
        for group in optimizer.param_groups:
            group["lr"] = settings.learning_rate * _share_of_rate(step, settings.warmup_steps, settings.steps)
        if step == settings.quantizer_start_step:
            with torch.no_grad():
                z_e = encoded(model.encoder, some[None], count)[0].T
            model.quantizer.start_at(kmeans(z_e, len(model.quantizer.codebook), generator))
        rows, common = rows.to(device).float(), common.to(device)
        z_e, loss = encoded(model.encoder, rows, count), 0.0
        if step >= settings.quantizer_start_step:
            quantized = model.quantizer(z_e, generator if device.type == "cpu" else None)
            z_e, loss = quantized.z_q, quantized.loss
        z_q = jitter(z_e, settings.jitter, generator if device.type == "cpu" else None)
        error = (decoder(z_q.mT, common) - normalised(rows)).square().mean()
        optimizer.zero_grad(set_to_none=True)
        (error + loss).backward()
        nn.utils.clip_grad_norm_(above, settings.gradient_clip)
        optimizer.step()
        total += float(error.detach())
        if (step + 1) % LOG_STEPS == 0:
            logger.info("step %d: error of the layer %.3f", step + 1, total / LOG_STEPS)
            total = 0.0
    finish(model.encoder)
    return model.eval()


def encoded(encoder: Encoder, rows: Tensor, count: int) -> Tensor:
    """z_e (B, D, T) of the output (B, T, C) of the first ``count`` context layers, before ``finish``."""
    for block in encoder.context[count:]:
        rows = block(rows)
    return encoder.normalise.eval()(encoder.project(torch.relu(encoder.norm_out(rows)) - PASSES).float().mT)


@torch.no_grad()
def finish(encoder: Encoder) -> None:
    """Move ``PASSES``, which the projection learns without (a mean of its inputs would be in its every step), into its bias."""
    encoder.project.bias.sub_(PASSES * encoder.project.weight.sum(1))


@torch.no_grad()
def take_layers(encoder: Encoder, trained: Encoder, count: int) -> None:
    """Copy what computes the first ``count`` context layers; those above begin as the identity.

    Raises TrainingError when the layers differ.
    """
    for one in (encoder, trained):
        if len(one.context) < count or _way(one, count) != _way(encoder, count):
            raise TrainingError(
                f"--targets: its encoder differs from that of --conf up to context layer {count}, training.target_layer"
            )
    for mine, theirs in zip(_parts(encoder, count), _parts(trained, count)):
        mine.load_state_dict(theirs.state_dict())
    for block in encoder.context[count:]:
        block.mix.weight.zero_()


@torch.no_grad()
def start_at_components(encoder: Encoder, rows: Tensor) -> None:
    """Let z_e begin as the principal components of ``normalised`` rows (N, C), all divided by one number: mean variance 1."""
    rows = normalised(rows)
    values, vectors = torch.linalg.eigh(torch.cov(rows.T))
    dim = len(encoder.project.weight)
    components = nn.functional.pad(vectors[:, -dim:].T, (0, 0, 0, max(0, dim - len(values))))
    encoder.norm_out.weight.fill_(1.0)
    encoder.norm_out.bias.fill_(PASSES)
    encoder.project.weight.copy_(components)
    encoder.project.bias.copy_(-components @ rows.mean(0))
    encoder.normalise.mean.zero_()
    encoder.normalise.variance.fill_(float(values.clamp(min=0)[-dim:].mean()))


def _parts(encoder: Encoder, count: int) -> list[nn.Module]:
    return [*encoder.strided, encoder.norm, *encoder.context[:count]]


def _way(encoder: Encoder, count: int) -> tuple:
    """Two encoders for which this is the same can share the weights of their first ``count`` context layers."""
    shapes = [tuple(p.shape) for part in _parts(encoder, count) for p in part.parameters()]
    dilations = [block.dilated.dilation for block in encoder.context[:count]]
    return encoder.input_gain, encoder.norm_reach, [layer.stride for layer in encoder.strided], dilations, shapes


def _layers(
    model: CodeEncoder, count: int, store: PackedStore, speakers: Sequence[str], crop: int, device: torch.device
) -> list[Layer]:
    """The layer for training utterances of at least a crop of codes."""

    def rows_of(waveform: Tensor) -> Tensor:
        return model.layer(waveform, count).mT

    found = latents_of(rows_of, store, speakers, model.hop_length, device, most_codes=MOST_CODES)
    layers = []
    for _, rows in found:
        if len(rows) >= crop:
            seen = normalised(rows)
            layers.append(Layer(rows.half(), torch.cat([seen.mean(0), seen.std(0)])))
    if not layers:
        raise TrainingError(f"{store.path}: has no training utterance of {crop} codes, training.crop_samples")
    commons = torch.stack([one.common for one in layers])
    mean, deviation = commons.mean(0), commons.std(0, correction=0).clamp(min=1e-3)
    layers = [Layer(one.rows, (one.common - mean) / deviation) for one in layers]
    logger.info(
        "layer %d of %.1f minutes of speech", count, sum(len(one.rows) for one in layers) * model.hop_length / 960_000
    )
    return layers


def _some(layers: Sequence[Layer], generator: Generator) -> Tensor:
    """Rows (N, C) float32 of utterances drawn at random, ``FIT_ROWS`` where there are so many."""
    rows, found = [], 0
    for index in torch.randperm(len(layers), generator=generator).tolist():
        rows.append(layers[index].rows)
        found += len(rows[-1])
        if found >= FIT_ROWS:
            break
    return torch.cat(rows)[:FIT_ROWS].float()


def _batches(
    layers: Sequence[Layer], size: int, crop: int, steps: int, generator: Generator
) -> Iterator[tuple[Tensor, Tensor]]:
    """Crops (size, crop, C) of utterances in proportion to their length, and what each has in common (size, 2 C)."""
    lengths = torch.tensor([float(len(one.rows)) for one in layers])
    for _ in range(steps):
        chosen = [layers[i] for i in torch.multinomial(lengths, size, replacement=True, generator=generator).tolist()]
        starts = [int(torch.randint(len(one.rows) - crop + 1, (), generator=generator)) for one in chosen]
        yield (
            torch.stack([one.rows[start : start + crop] for one, start in zip(chosen, starts)]),
            torch.stack([one.common for one in chosen]),
        )


def _share_of_rate(step: int, warmup: int, steps: int) -> float:
    """Linear rise, then half a cosine."""
    return min(1.0, (step + 1) / max(1, warmup)) * (0.02 + 0.49 * (1 + math.cos(math.pi * step / steps)))
