"""µ-law classes and spectral features as tensors; ``vqvc.audio`` has the same in NumPy."""

import math

import torch
from torch import Tensor, nn

from vqvc.audio.mulaw import CLASSES, MU, SILENCE


def mulaw_encode(x: Tensor) -> Tensor:
    """Convert amplitudes in [-1, 1] to classes 0..255 (int64); 0 becomes 128. The µ-law curve of ITU-T G.711."""
    y = torch.sign(x) * torch.log1p(MU * x.abs().clamp(max=1.0)) / math.log1p(MU)
    return ((y + 1) / 2 * MU + 0.5).floor().long()


def mulaw_decode(classes: Tensor) -> Tensor:
    """Convert classes 0..255 to amplitudes, float32; class 128 is exactly 0."""
    return _expand(classes.float())


def mulaw_edges() -> Tensor:
    """Edges (257,) float32: class c holds the amplitudes in [edges[c], edges[c + 1]); the outermost are infinite."""
    edges = _inverse((torch.arange(CLASSES + 1, dtype=torch.float64) - 0.5) / MU * 2 - 1).float()
    edges[0], edges[-1] = -math.inf, math.inf
    return edges


def _expand(classes: Tensor) -> Tensor:
    # no class of the curve has amplitude 0, which lies between classes 127 and 128; 128 is set to 0 for silence
    y = _inverse(classes.double() / MU * 2 - 1)
    return torch.where(classes == SILENCE, torch.zeros_like(y), y).float()


def _inverse(y: Tensor) -> Tensor:
    return torch.sign(y) * torch.expm1(y.abs() * math.log1p(MU)) / MU


class LogMel(nn.Module):
    """Log-mel frames: frame i is centred on sample (i + 0.5) * hop, as code i is.

    waveform (B, T), T a multiple of hop -> (B, n_mels, T / hop), natural log of mel power, shifted and scaled to
    about unit variance for speech at an RMS of 0.06.
    """

    FLOOR = 1e-6  # power below which a band counts as silent
    SHIFT, SCALE = 5.0, 3.0  # measured on speech at RMS 0.06: mean about -5, deviation about 3

    def __init__(self, sample_rate: int, hop: int, n_mels: int, n_fft: int = 512):
        super().__init__()
        self.hop, self.n_fft = hop, n_fft
        self.register_buffer("window", torch.hann_window(n_fft), persistent=False)
        self.register_buffer("filters", mel_filters(sample_rate, n_fft, n_mels), persistent=False)

    def forward(self, waveform: Tensor) -> Tensor:
        frames = waveform.shape[-1] // self.hop
        left = self.n_fft // 2 - self.hop // 2
        padded = nn.functional.pad(waveform, (left, self.n_fft))
        spectrum = torch.stft(padded, self.n_fft, self.hop, window=self.window, center=False, return_complex=True)
        spectrum = spectrum[..., :frames]
        power = spectrum.real.square() + spectrum.imag.square()
        return ((self.filters @ power).clamp(min=self.FLOOR).log() + self.SHIFT) / self.SCALE


class Mfcc(nn.Module):
    """13 mel-cepstral coefficients with first and second differences: (B, T) -> (B, 39, T / hop)."""

    def __init__(self, sample_rate: int, hop: int, n_mels: int, coefficients: int = 13):
        super().__init__()
        self.log_mel = LogMel(sample_rate, hop, n_mels)
        self.register_buffer("basis", cosines(coefficients, n_mels), persistent=False)

    def forward(self, waveform: Tensor) -> Tensor:
        static = self.basis @ self.log_mel(waveform)
        delta = slope(static)
        return torch.cat([static, delta, slope(delta)], dim=1)


def cosines(coefficients: int, bands: int) -> Tensor:
    """Basis (coefficients, bands) of the discrete cosine transform: orthonormal, but row 0 has length sqrt(2)."""
    order = torch.arange(coefficients)[:, None]
    return torch.cos(math.pi / bands * order * (torch.arange(bands) + 0.5)) * math.sqrt(2 / bands)


def slope(x: Tensor) -> Tensor:
    """Slope over time (..., T) of a regression over two frames on either side (HTK's deltas); edges are repeated."""
    padded = nn.functional.pad(x, (2, 2), mode="replicate")
    return (2 * (padded[..., 4:] - padded[..., :-4]) + (padded[..., 3:-1] - padded[..., 1:-3])) / 10


def mel_filters(sample_rate: int, n_fft: int, n_mels: int) -> Tensor:
    """Triangular filters (n_mels, n_fft // 2 + 1), evenly spaced on the HTK mel scale from 0 Hz to the Nyquist rate."""
    top = 2595 * math.log10(1 + sample_rate / 2 / 700)
    corners = 700 * (10 ** (torch.linspace(0, top, n_mels + 2) / 2595) - 1)
    hz = torch.linspace(0, sample_rate / 2, n_fft // 2 + 1)
    rise = (hz - corners[:-2, None]) / (corners[1:-1] - corners[:-2])[:, None]
    fall = (corners[2:, None] - hz) / (corners[2:] - corners[1:-1])[:, None]
    return torch.minimum(rise, fall).clamp(min=0)
