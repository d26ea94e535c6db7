"""Speakers of the table as enrolled voices, and a voice's adaptation."""

import torch

from vqvc.conversion.voice_file import EnrolledVoice
from vqvc.nn.adaptation import Adaptation
from vqvc.nn.vqvae import VQVAE


def row_as_voice(converter, row: int, **fields) -> EnrolledVoice:
    """A speaker of the table as if it had been enrolled."""
    model = converter.model
    known = {
        "name": "me", "vector": model.conditioning.speaker.weight[row].detach().clone(),
        "global_variance": model.global_variance[row].clone(), "f0": (7.0, 0.3), "model": converter.checksum, "provenance": {},
    }  # fmt: skip
    return EnrolledVoice(**known | fields)


def an_adaptation(model: VQVAE, seed: int = 1) -> Adaptation:
    """One that changes every weight and bias of the conditioner's convolutions, in numbers of float16."""
    generator = torch.Generator().manual_seed(seed)
    start = model.conditioning.new_adaptation(2, generator)
    drawn = (0.5 * torch.randn(part.shape, generator=generator) for part in start.parts().values())
    return Adaptation(*(part.half().float() for part in drawn))
