"""FAULTS row 74: recordings are encoded in pieces; the codes are those of the whole, in memory that does not grow with them."""

import tracemalloc

import numpy as np
import pytest
import soundfile
import torch
from tiny_voice import tiny_model

from vqvc.config import model_from_dict
from vqvc.conversion import analysis, encoding
from vqvc.errors import AudioError
from vqvc.nn.builder import build_model
from vqvc.nn.vqvae import VQVAE

INPUTS = {
    "waveform": {},
    "log_mel": {"input": "log_mel", "feature_hop": 64, "strides": [2], "channels": [8]},
    "mfcc": {"input": "mfcc", "feature_hop": 160, "strides": [2, 2], "channels": [8, 8]},
    "normalised": {"norm_reach": 0.05},
    "units": {"input": "units", "feature_hop": 160, "strides": [], "channels": [], "units": 32},
}


@pytest.fixture(params=INPUTS)
def model(request) -> VQVAE:
    """A small model of each kind of encoder, whose codes differ from moment to moment."""
    settings = tiny_model().config.to_dict()
    settings["encoder"] |= INPUTS[request.param]
    settings["decoder"]["conditioning_hop"] = 32
    torch.manual_seed(0)
    model = build_model(model_from_dict(settings), 2).eval()
    if request.param == "units":
        for name in ("discriminant", "units", "embedding"):
            getattr(model.front, name).normal_()
    samples = np.random.default_rng(0).normal(0, 0.06, 16000).astype(np.float32)
    with torch.inference_mode():
        z_e = model.latents(torch.from_numpy(samples[: 16000 // model.hop_length * model.hop_length])[None])[0].T
    model.quantizer.codebook.data.copy_(z_e[torch.linspace(0, len(z_e) - 1, len(model.quantizer.codebook)).long()])
    return model


def blocks_of(samples: np.ndarray, rng: np.random.Generator):
    while len(samples):
        cut = int(rng.integers(1, 5000))
        yield samples[:cut]
        samples = samples[cut:]


def test_row_74_codes_of_pieces_are_those_of_the_whole(model):
    rng = np.random.default_rng(1)
    for length in (model.hop_length, 3 * model.hop_length + 1, 30001):
        samples = (rng.normal(0, 0.06, length) * (1 + np.sin(np.arange(length) / 900))).astype(np.float32)
        padded = np.pad(samples, (0, -length % model.hop_length))
        with torch.inference_mode():
            whole = model.encode(torch.from_numpy(padded)[None])[0].numpy()
        for piece_s in (0.01, 0.1, 0.5, 60.0):
            parts = list(encoding.encode_blocks(model, blocks_of(samples, rng), piece_s))
            assert np.array_equal(np.concatenate(parts), whole), (length, piece_s)
        assert np.array_equal(encoding.encode(model, samples), whole)
    assert len(np.unique(whole)) > 2


def test_row_74_the_context_is_what_a_code_depends_on(model):
    """Changed samples change no code beyond it: the overlap of pieces is enough by construction, not by luck."""
    context, hop = encoding.context_codes(model), model.hop_length
    if context is None:
        pytest.skip("a code depends on the whole recording")
    rng = np.random.default_rng(2)
    samples = rng.normal(0, 0.06, (2 * context + 40) * hop).astype(np.float32)
    middle = context + 20
    changed = samples.copy()
    changed[middle * hop : (middle + 1) * hop] = rng.normal(0, 0.3, hop)
    with torch.inference_mode():
        before, after = (model.latents(torch.from_numpy(one)[None])[0] for one in (samples, changed))
    moved = (before - after).abs().amax(0) > 1e-4
    assert moved[middle] and not moved[: middle - context].any() and not moved[middle + context + 1 :].any()


def test_row_74_a_file_has_the_codes_of_its_samples(tmp_path, speechlike):
    """Read in blocks, levelled by what was measured over all of it: the codes of ``analysis.levelled`` of the whole."""
    model, samples = tiny_model(), speechlike(5.0, seed=4) + np.float32(0.01)
    soundfile.write(tmp_path / "a.wav", samples, 16000, subtype="FLOAT")
    codes, length = encoding.encode_recording(model, tmp_path / "a.wav", piece_s=1.0)
    assert length == len(samples)
    assert np.array_equal(codes, encoding.encode(model, analysis.levelled(model, samples).samples))


def test_row_74_memory_does_not_grow_with_the_recording(tmp_path, speechlike):
    model, peaks, minute = tiny_model(), [], speechlike(59.4, 22050)
    for minutes in (1, 4):
        path = tmp_path / f"{minutes}.wav"
        soundfile.write(path, np.tile(minute, minutes), 22050)
        tracemalloc.start()
        codes, length = encoding.encode_recording(model, path, piece_s=5.0)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
        assert length == minutes * 16000 * 60 and len(codes) == length // model.hop_length
    assert peaks[1] < peaks[0] + 4 * 8 * len(codes) + (2 << 20)


def test_row_74_a_silent_recording_is_named(tmp_path):
    soundfile.write(tmp_path / "a.wav", np.zeros(16000), 16000)
    with pytest.raises(AudioError, match=r"a\.wav: digital silence"):
        encoding.encode_recording(tiny_model(), tmp_path / "a.wav")
