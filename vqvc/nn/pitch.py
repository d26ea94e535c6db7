"""F0 tracking inside the model. The decoder is conditioned on the F0 contour beside the codes (``decoder.f0``).

The tracker takes the strongest lag of the autocorrelation of a windowed frame, divided by the autocorrelation of the
window (Boersma 1993). A median over neighbouring frames replaces his search for the best path. On 22 held-out
utterances 98 % of the frames that Praat calls voiced lie within a fifth of an octave of Praat's pitch, and the voicing
decision is the same as Praat's for 95 % of all frames.
"""

import math

import torch
import torch.distributed as dist
from torch import Tensor, nn

from vqvc.nn import draws

LOWEST_HZ, HIGHEST_HZ = 60.0, 400.0
WINDOW_S = 0.04  # 2.4 periods of the lowest pitch
MEDIAN_S = 0.028  # length of the median filter
OCTAVE_COST = 0.03  # subtracted from the autocorrelation per octave of lag: favours the shorter of two equal lags
TOGETHER = 4096  # frames that are transformed at a time, which bounds the memory for a long recording
QUIET = 1e-2  # energy of a windowed frame below which nothing is voiced (speech at an RMS of 0.06 has 0.9)
VOICED, STEEP = 0.5, 15.0  # autocorrelation at a voicing of 0.5, and the slope of the sigmoid there


class PitchTracker(nn.Module):
    """waveform (B, T), T a multiple of hop -> pitch (B, T / hop) as log2 of Hz, and voicing (B, T / hop) from 0 to 1.

    Frame i is centred on sample (i + 0.5) * hop, as code i is. Where voicing is near 0, the pitch is meaningless.
    """

    def __init__(self, sample_rate: int, hop: int):
        super().__init__()
        self.sample_rate, self.hop = sample_rate, hop
        self.size = round(WINDOW_S * sample_rate)
        self.shortest, self.longest = math.floor(sample_rate / HIGHEST_HZ), math.ceil(sample_rate / LOWEST_HZ)
        self.n_fft = 2 ** math.ceil(math.log2(self.size + self.longest + 2))  # so long that no correlation is circular
        self.median = round(MEDIAN_S * sample_rate / hop) // 2 * 2 + 1
        window = torch.hann_window(self.size)
        own = torch.fft.irfft(torch.fft.rfft(window, self.n_fft).abs().square(), self.n_fft)
        lags = torch.arange(self.shortest, self.longest + 1)
        self.register_buffer("window", window, persistent=False)
        self.register_buffer("own", (own / own[0])[: self.longest + 2], persistent=False)
        self.register_buffer("cost", OCTAVE_COST * torch.log2(lags / self.shortest), persistent=False)

    @torch.no_grad()
    def forward(self, waveform: Tensor) -> tuple[Tensor, Tensor]:
        with torch.autocast(waveform.device.type, enabled=False):
            padded = nn.functional.pad(waveform.float(), (max(0, self.before), self.size))[:, max(0, -self.before) :]
            frames = padded.unfold(1, self.size, self.hop)[:, : waveform.shape[1] // self.hop]
            blocks = [self.of_frames(block) for block in frames.split(TOGETHER, dim=1)]
            pitch, voicing = (torch.cat(parts, dim=1) for parts in zip(*blocks))
            half = self.median // 2
            return self.smooth(nn.functional.pad(pitch, (half, half), mode="replicate")), voicing

    @property
    def before(self) -> int:
        """How many samples before its hop of the waveform a frame begins; negative if it begins later."""
        return self.size // 2 - self.hop // 2

    @property
    def look_ahead(self) -> int:
        """How many samples after a hop of the waveform its pitch depends on."""
        return self.size - self.before - self.hop + self.median // 2 * self.hop

    def of_frames(self, frames: Tensor) -> tuple[Tensor, Tensor]:
        """Unsmoothed pitch and voicing, (B, F) each, of frames (B, F, size)."""
        lag, peak = self._strongest(frames)
        return torch.log2(self.sample_rate / lag), torch.sigmoid(STEEP * (peak - VOICED))

    def smooth(self, pitch: Tensor) -> Tensor:
        """Median over neighbouring frames: (B, F + median - 1) -> (B, F)."""
        return pitch.unfold(-1, self.median, 1).median(-1).values

    def _strongest(self, frames: Tensor) -> tuple[Tensor, Tensor]:
        """The strongest lag in fractional samples and the autocorrelation there, (B, F) each. frames: (B, F, size)."""
        frames = (frames - frames.mean(-1, keepdim=True)) * self.window
        spectrum = torch.fft.rfft(frames, self.n_fft)
        r = torch.fft.irfft(spectrum.real.square() + spectrum.imag.square(), self.n_fft)[..., : self.longest + 2]
        r = r / ((r[..., :1] + QUIET) * self.own)
        lag = (r[..., self.shortest : -1] - self.cost).argmax(-1) + self.shortest
        before, peak, after = (r.gather(-1, (lag + offset)[..., None])[..., 0] for offset in (-1, 0, 1))
        curvature = (before - 2 * peak + after).clamp(max=-1e-6)
        vertex = (0.5 * (before - after) / curvature).clamp(-0.5, 0.5)  # of the parabola through the three points
        return lag + vertex, peak


class F0Conditioner(nn.Module):
    """F0 contours (B, ROWS, T / hop) of waveforms (B, T), for conditioning the decoder.

    Row 0: F0 relative to the speaker's mean, in quarters of an octave, times voicing.
    Row 1: voicing, from 0 to 1.
    Row 2: 1, which marks that a contour is given.

    A relative contour fits any target speaker. If all rows are 0, the decoder chooses F0.
    """

    ROWS = 3

    def __init__(self, sample_rate: int, hop: int, speakers: int):
        super().__init__()
        self.track = PitchTracker(sample_rate, hop)
        # per training speaker: the sum of log2 F0 times voicing, and the sum of voicing
        self.register_buffer("f0_sums", torch.zeros(speakers, 2, dtype=torch.float64))

    def forward(self, waveform: Tensor, centre: Tensor | None = None) -> Tensor:
        """F0 contours (B, ROWS, T / hop) relative to ``centre``.

        centre: (B,), log2 of Hz; the mean F0 of each waveform's voiced frames when None. Give the centre of the whole
            recording for a waveform that is a part of it.
        """
        pitch, voicing = self.track(waveform)
        if centre is None:
            centre = (pitch * voicing).sum(1) / voicing.sum(1).clamp(min=1e-6)
        return contour(pitch, voicing, centre[:, None])

    @torch.no_grad()
    def of_crops(
        self, waveform: Tensor, speaker: Tensor, dropout: float, generator: draws.AnyGenerator = None
    ) -> Tensor:
        """F0 contours of training crops (B, T) of speakers (B,) int64, relative to each speaker's running mean.

        The running means are updated first. dropout: probability that a crop's contour is set to 0, so that the decoder
        learns to work without one. generator: of the dropout.
        """
        pitch, voicing = self.track(waveform)
        crop_sums = torch.stack([(pitch * voicing).sum(1), voicing.sum(1)], dim=1).double()
        speaker_sums = torch.zeros_like(self.f0_sums).index_add_(0, speaker, crop_sums)
        if dist.is_initialized():  # the statistics of all workers
            dist.all_reduce(speaker_sums)
        self.f0_sums += speaker_sums
        f0_sum, weight_sum = self.f0_sums[speaker].float().unbind(1)
        given = draws.rand((len(speaker),), generator, pitch.device) >= dropout
        centre = f0_sum / weight_sum.clamp(min=1e-6)
        return contour(pitch, voicing, centre[:, None]) * given[:, None, None]


def contour(pitch: Tensor, voicing: Tensor, centre: Tensor) -> Tensor:
    """The rows (B, ROWS, F) of ``F0Conditioner``.

    pitch: (B, F), log2 of Hz. voicing: (B, F). centre: (B, 1) or (B, F), log2 of Hz.
    """
    relative = 4 * (pitch - centre).clamp(-1.5, 1.5) * voicing
    return torch.stack([relative, voicing, torch.ones_like(voicing)], dim=1)
