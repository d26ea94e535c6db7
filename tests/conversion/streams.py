"""Streams of tiny models, and the conversions of the whole that they are compared with."""

import dataclasses
import math

import numpy as np
import torch
from tiny_voice import SPEAKERS, tiny_model

from vqvc.conversion import analysis, pipeline
from vqvc.conversion.statistics import Statistics
from vqvc.conversion.stream import Stream
from vqvc.conversion.voice_file import EnrolledVoice
from vqvc.engine.cpu.sampler import Sampler
from vqvc.nn.builder import build_model
from vqvc.nn.vqvae import VQVAE

RATE = 16000
GIVEN = Statistics(gain=0.8, dc=0.003, pitch=math.log2(130))


def model_of(kind: str) -> VQVAE:
    """Tiny models of every kind that a stream has to deal with."""
    if kind == "mel":
        config = dataclasses.replace(tiny_model(f0=True).config, n_mels=20)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            model = build_model(config, len(SPEAKERS)).eval().requires_grad_(False)
            model.global_variance.copy_(torch.rand_like(model.global_variance) + 0.1)
            model.wavenet.out.bias.add_(0.3 * torch.randn_like(model.wavenet.out.bias))
        return model
    if kind == "deep":
        return tiny_model(f0=True, conditioning_layers=4, conditioning_hop=64)
    return {"f0": lambda: tiny_model(f0=True), "plain": tiny_model, "categorical": lambda: tiny_model("categorical")}[
        kind
    ]()


def whole(
    model: VQVAE, samples: np.ndarray, statistics: Statistics = GIVEN, seed: int = 3, speaker: int | EnrolledVoice = 1
) -> np.ndarray:
    """The conversion of a recording with these statistics, in one piece."""
    level = (samples - np.float32(statistics.dc)) * np.float32(statistics.gain)
    source = analysis.analyse(model, level, f0_centre=statistics.pitch, equalizer_db=statistics.equalizer_db)
    request = pipeline.Request.of(source, speaker, seed)
    made = pipeline.synthesize(model, Sampler(model, "float32"), [request], 0.9, "off", postfilter=False)[0]
    return made[: len(samples)] * np.float32(1 / statistics.gain)


def stream_of(model: VQVAE, speaker: int | EnrolledVoice = 1, **options) -> Stream:
    options = {"seed": 3, "temperature": 0.9, "postfilter": False, "statistics": GIVEN} | options
    return Stream(model, Sampler(model, "float32"), speaker, **options)


def in_blocks(stream: Stream, samples: np.ndarray, sizes: list[int]) -> np.ndarray:
    """All of a stream's output for samples in blocks of these sizes, over and over."""
    made, begin, turn = [], 0, 0
    while begin < len(samples):
        size = sizes[turn % len(sizes)]
        made.append(stream.convert(samples[begin : begin + size]))
        begin, turn = begin + size, turn + 1
    return np.concatenate([*made, stream.flush()])
