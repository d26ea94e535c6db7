"""F0 of speech, frame by frame, inside the model: what the decoder is conditioned on beside the codes (``decoder.f0``).

Autocorrelation of windowed frames divided by the window's own, the strongest lag taken (Boersma 1993), without his search
for the best path: a median over neighbouring frames is enough here. On 22 held-out utterances 98 % of the frames that Praat
calls voiced lie within a fifth of an octave of Praat's pitch, and 95 % of all frames agree on being voiced.
"""

import math

import torch
import torch.distributed as dist
from torch import Tensor, nn

from vqvc.nn import draws

LOWEST_HZ, HIGHEST_HZ = 60.0, 400.0
WINDOW_S = 0.04  # 2.4 periods of the lowest pitch
MEDIAN_S = 0.028  # of speech that the median looks at
OCTAVE_COST = 0.03  # autocorrelation that a lag has to be better by for each octave that it is longer
TOGETHER = 4096  # frames whose spectra are held at a time, so that a long recording needs little memory
QUIET = 1e-2  # energy of a windowed frame below which nothing is voiced (speech at an RMS of 0.06 has 0.9)
VOICED, STEEP = 0.5, 15.0  # autocorrelation at which a frame is as likely voiced as not, and how fast that changes


class PitchTracker(nn.Module):
    """waveform (B, T), T a multiple of hop -> pitch (B, T / hop) as log2 of Hz, and voicing (B, T / hop) from 0 to 1.

    Frame i is centred on sample (i + 0.5) * hop, as code i is. Where voicing is near 0 the pitch means nothing.
    """

    def __init__(self, sample_rate: int, hop: int):
        super().__init__()
        self.sample_rate, self.hop = sample_rate, hop
        self.size = round(WINDOW_S * sample_rate)
        self.shortest, self.longest = math.floor(sample_rate / HIGHEST_HZ), math.ceil(sample_rate / LOWEST_HZ)
        self.n_fft = 2 ** math.ceil(math.log2(self.size + self.longest + 2))  # nothing wraps around
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
            found = [self.of_frames(some) for some in frames.split(TOGETHER, dim=1)]
            pitch, voicing = (torch.cat(parts, dim=1) for parts in zip(*found))
            half = self.median // 2
            return self.smooth(nn.functional.pad(pitch, (half, half), mode="replicate")), voicing

    @property
    def before(self) -> int:
        """Samples by which a frame begins before its hop of the waveform."""
        return self.size // 2 - self.hop // 2

    @property
    def look_ahead(self) -> int:
        """Samples after a hop of the waveform that its pitch depends on."""
        return self.size - self.before - self.hop + self.median // 2 * self.hop

    def of_frames(self, frames: Tensor) -> tuple[Tensor, Tensor]:
        """Pitch before ``smooth``, and voicing, of frames (B, F, size): (B, F) each."""
        lag, peak = self._strongest(frames)
        return torch.log2(self.sample_rate / lag), torch.sigmoid(STEEP * (peak - VOICED))

    def smooth(self, pitch: Tensor) -> Tensor:
        """The median over neighbouring frames: (B, F + median - 1) -> (B, F)."""
        return pitch.unfold(-1, self.median, 1).median(-1).values

    def _strongest(self, frames: Tensor) -> tuple[Tensor, Tensor]:
        """The strongest lag of frames (B, F, size), in samples and between them, and the autocorrelation there: (B, F)."""
        frames = (frames - frames.mean(-1, keepdim=True)) * self.window
        spectrum = torch.fft.rfft(frames, self.n_fft)
        r = torch.fft.irfft(spectrum.real.square() + spectrum.imag.square(), self.n_fft)[..., : self.longest + 2]
        r = r / ((r[..., :1] + QUIET) * self.own)
        lag = (r[..., self.shortest : -1] - self.cost).argmax(-1) + self.shortest
        before, peak, after = (r.gather(-1, (lag + d)[..., None])[..., 0] for d in (-1, 0, 1))
        bend = (before - 2 * peak + after).clamp(max=-1e-6)
        return lag + (0.5 * (before - after) / bend).clamp(-0.5, 0.5), peak  # the top of the parabola through the three


class F0Conditioner(nn.Module):
    """F0 contours (B, ROWS, T / hop) of waveforms (B, T), which the decoder is conditioned on.

    Rows: F0 relative to the speaker's mean, in quarters of an octave, where voiced; voicing from 0 to 1; 1 where F0 is given.
    A relative contour suits any target speaker. Zeros in all rows leave F0 to the decoder.
    """

    ROWS = 3

    def __init__(self, sample_rate: int, hop: int, speakers: int):
        super().__init__()
        self.track = PitchTracker(sample_rate, hop)
        # of each speaker in training: sum of log2 F0 times voicing, and sum of voicing
        self.register_buffer("f0_sums", torch.zeros(speakers, 2, dtype=torch.float64))

    def forward(self, waveform: Tensor, centre: Tensor | None = None) -> Tensor:
        """Contours relative to the mean F0 of each waveform's voiced frames, or to ``centre``.

        centre: (B,) log2 of Hz, of the recordings that the waveforms are parts of.
        """
        pitch, voicing = self.track(waveform)
        if centre is None:
            centre = (pitch * voicing).sum(1) / voicing.sum(1).clamp(min=1e-6)
        return contour(pitch, voicing, centre[:, None])

    @torch.no_grad()
    def of_crops(
        self, waveform: Tensor, speaker: Tensor, dropout: float, generator: draws.AnyGenerator = None
    ) -> Tensor:
        """Contours of training crops of speakers (B,), relative to each speaker's running mean, which is updated.

        dropout: the share of crops that get none, so that codes alone can be decoded too.
        """
        pitch, voicing = self.track(waveform)
        sums = torch.stack([(pitch * voicing).sum(1), voicing.sum(1)], dim=1).double()
        sums = torch.zeros_like(self.f0_sums).index_add_(0, speaker, sums)
        if dist.is_initialized():  # the statistics are those of all workers
            dist.all_reduce(sums)
        self.f0_sums += sums
        weighted, weights = self.f0_sums[speaker].float().unbind(1)
        known = draws.rand((len(speaker),), generator, pitch.device) >= dropout
        centre = weighted / weights.clamp(min=1e-6)
        return contour(pitch, voicing, centre[:, None]) * known[:, None, None]


def contour(pitch: Tensor, voicing: Tensor, centre: Tensor) -> Tensor:
    """The rows (B, ROWS, F) of pitch and voicing (B, F), and centre (B, 1) or (B, F) in log2 Hz."""
    height = 4 * (pitch - centre).clamp(-1.5, 1.5) * voicing
    return torch.stack([height, voicing, torch.ones_like(voicing)], dim=1)
