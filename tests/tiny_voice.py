"""A model that is quick and generates noise: a few layers of random weights."""

import dataclasses
from dataclasses import dataclass

import torch

from vqvc.config import from_dict
from vqvc.nn.builder import build_model
from vqvc.nn.vqvae import VQVAE


@dataclass(frozen=True)
class Speaker:
    speaker: str
    gender: str
    accent: str


SPEAKERS = (Speaker("p225", "f", "English"), Speaker("p226", "m", ""), Speaker("p315", "f", "Scottish"))


def tiny_model(output: str = "mixture", seed: int = 0, **decoder) -> VQVAE:
    """A model of hop 64 whose every weight matters; ``decoder`` overrides its settings."""
    settings = {
        "layers": 3, "dilation_cycle": 3, "residual_channels": 12, "gate_channels": 20, "skip_channels": 12,
        "output": output, "mixtures": 3, "lpc_order": 4, "speaker_dim": 4, "conditioning_channels": 8,
        "conditioning_layers": 1, "conditioning_hop": 16,
    }  # fmt: skip
    config = from_dict(
        {
            "encoder": {"channels": [8, 8, 8], "strides": [4, 4, 4], "context_layers": 1},
            "quantizer": {"codebook_size": 16, "codebook_dim": 8},
            "decoder": settings | decoder,
            "training": {"precision": "float32", "mel_weight": 0.0},
        }
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = build_model(config.model, len(SPEAKERS)).eval()
        with torch.no_grad():
            for weight in (model.wavenet.out.weight, model.wavenet.stack.frame_bias, model.wavenet.stack.residual_bias):
                weight.normal_(std=0.3)
            model.wavenet.out.bias.add_(0.3 * torch.randn_like(model.wavenet.out.bias))
    return model


def model_with_mel(seed: int = 0, **decoder) -> VQVAE:
    """The tiny model with an F0 conditioner, the auxiliary log-mel head, and a global variance for each speaker."""
    config = dataclasses.replace(tiny_model(f0=True, **decoder).config, n_mels=20)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = build_model(config, len(SPEAKERS)).eval()
        model.global_variance.copy_(torch.rand_like(model.global_variance) + 0.1)
    return model
