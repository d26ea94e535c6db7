"""The network's layers over a sequence that comes in parts: every output once, as soon as what it sees is there.

Each layer keeps as much of its input as later outputs depend on. Together the outputs of ``push`` are those of the layer's
module for the whole sequence, up to the rounding of sums; ``last`` adds what the module pads the end with. Channels last, a batch of one.
"""

import copy
from collections.abc import Callable

import torch
from torch import Tensor, nn

from vqvc.conversion.encoding import device_of
from vqvc.conversion.voice_file import EnrolledVoice
from vqvc.engine.cpu.convolution import compiled
from vqvc.errors import UsageError
from vqvc.nn.convolution import Convolution
from vqvc.nn.encoder import ContextBlock, Encoder
from vqvc.nn.pitch import PitchTracker
from vqvc.nn.precision import working_dtype
from vqvc.nn.vqvae import VQVAE


class ConvolutionStream:
    """``Convolution``: inputs (1, t, C_in) -> outputs (1, t', C_out) that are complete."""

    def __init__(self, layer: Convolution) -> None:
        self.layer, (before, self.after) = layer, layer.padding
        self.held = layer.weight.new_zeros(1, before, layer.weight.shape[1] // layer.taps)

    def push(self, x: Tensor, last: bool = False) -> Tensor:
        """The outputs that ``x`` completes."""
        held = torch.cat([self.held, x.to(self.held.dtype)], dim=1)
        if last:
            held = nn.functional.pad(held, (0, 0, 0, self.after))
        made = self.layer.valid(held)
        self.held = held[:, made.shape[1] * self.layer.stride :]
        return made


class ResidualStream:
    """x + after(dilated(relu(x))): inputs (1, t, C) -> outputs (1, t', C), ``dilated.reach`` later."""

    def __init__(self, dilated: Convolution, after: Callable[[Tensor], Tensor] = lambda y: y) -> None:
        self.dilated, self.after = dilated, after
        self.held = dilated.weight.new_zeros(1, dilated.reach, len(dilated.weight))

    def push(self, x: Tensor, last: bool = False) -> Tensor:
        """The outputs that ``x`` completes."""
        reach = self.dilated.reach
        held = torch.cat([self.held, x.to(self.held.dtype)], dim=1)
        if last:
            held = nn.functional.pad(held, (0, 0, 0, reach))
        made = self.after(self.dilated.valid(torch.relu(held)))
        count = made.shape[1]
        self.held = held[:, count:]
        return held[:, reach : reach + count] + made


class EncoderStream:
    """Samples (t,) at the level of training -> codes (t',) int64: ``VQVAE.encode`` of a model that reads the waveform.

    Raises UsageError for other models.
    """

    def __init__(self, model: VQVAE) -> None:
        require_streamable(model)
        self.quantizer, self.encoder = model.quantizer, model.encoder
        encoder: Encoder = model.encoder
        self.strided = [ConvolutionStream(layer) for layer in encoder.strided]
        self.context = [ResidualStream(block.dilated, _mixing(block)) for block in encoder.context]

    def push(self, samples: Tensor, last: bool = False) -> Tensor:
        """The codes that ``samples`` complete; all of them together must be a whole number of codes when ``last``."""
        x = samples[None, :, None] * self.encoder.input_gain
        for layer in self.strided:
            x = torch.relu(layer.push(x, last))
        x = self.encoder.norm(x)
        for block in self.context:
            x = block.push(x, last)
        return self.quantizer.encode(self.encoder.output(x))[0]


class PitchStream:
    """Samples (t,) at the level of training -> log2 of Hz and voicing, (t',) each: ``PitchTracker``."""

    def __init__(self, track: PitchTracker) -> None:
        self.track, self.half = track, track.median // 2
        self.held = track.window.new_zeros(1, max(0, track.before))
        self.skip = max(0, -track.before)  # samples before the first frame
        self.pitch = track.window.new_zeros(1, 0)  # before the median
        self.voicing = track.window.new_zeros(1, 0)  # of frames that wait for it
        self.samples = self.frames = 0

    def push(self, samples: Tensor, last: bool = False) -> tuple[Tensor, Tensor]:
        """Pitch and voicing of the hops that ``samples`` complete."""
        track = self.track
        self.samples += len(samples)
        held = torch.cat([self.held, samples[None].float()], dim=1)
        if last:
            held = nn.functional.pad(held, (0, track.size))
        dropped = min(self.skip, held.shape[1])
        self.skip, held = self.skip - dropped, held[:, dropped:]
        count = max((held.shape[1] - track.size) // track.hop + 1, 0)
        if last:
            count = min(count, self.samples // track.hop - self.frames)
        if count:
            pitch, voicing = track.of_frames(held.unfold(1, track.size, track.hop)[:, :count])
            if not self.frames:
                pitch = nn.functional.pad(pitch, (self.half, 0), mode="replicate")
            self.pitch = torch.cat([self.pitch, pitch], dim=1)
            self.voicing = torch.cat([self.voicing, voicing], dim=1)
        taken = count * track.hop
        self.held, self.skip, self.frames = (
            held[:, taken:],
            self.skip + max(taken - held.shape[1], 0),
            self.frames + count,
        )
        if last and self.half and self.frames:
            self.pitch = nn.functional.pad(self.pitch, (0, self.half), mode="replicate")
        ready = max(self.pitch.shape[1] - 2 * self.half, 0)
        if not ready:
            return self.voicing[0, :0], self.voicing[0, :0]
        smooth, voicing = track.smooth(self.pitch), self.voicing[:, :ready]
        self.pitch, self.voicing = self.pitch[:, ready:], self.voicing[:, ready:]
        return smooth[0], voicing[0]


class ConditionerStream:
    """Codes' vectors with contours (1, D, t) -> frames (1, t', C) for one speaker: ``Conditioner``."""

    def __init__(self, model: VQVAE, speaker: int | EnrolledVoice) -> None:
        self.conditioner = model.conditioning
        known = isinstance(speaker, int)
        vector = self.conditioner.speaker.weight[speaker] if known else speaker.vector
        self.vector = vector.detach().to(self.conditioner.speaker.weight)[None]
        adaptation = None if known else speaker.adaptation
        with torch.no_grad():
            self.blocks = [ResidualStream(block) for block in self.conditioner.adapted(adaptation)]

    def push(self, z_q: Tensor, last: bool = False) -> Tensor:
        """The frames that ``z_q`` completes."""
        x = self.conditioner.join(z_q, self.vector)
        for block in self.blocks:
            x = block.push(x, last)
        return x


def for_blocks(model: VQVAE) -> VQVAE:
    """The model for few frames at a time: on a CPU, its layers but for the WaveNet's are compiled; weights are shared.

    The encoder works in the precision of ``encoding.encode``. Raises UsageError for a model whose encoder cannot stream.
    """
    require_streamable(model)
    device, made = device_of(model), copy.copy(model)
    precision = working_dtype(model.config.precision, device)
    make = compiled if device.type == "cpu" else rounded
    made._modules = dict(model._modules)
    for name in ("encoder", "conditioning", "prediction", "mel_head"):
        if made._modules.get(name) is not None:
            made._modules[name] = make(made._modules[name], precision if name == "encoder" else torch.float32)
    return made


def rounded(module: nn.Module, dtype: torch.dtype) -> nn.Module:
    """A copy of a module whose convolutions have weights of ``dtype``."""
    made = copy.deepcopy(module)
    for part in made.modules():
        if isinstance(part, Convolution):
            part.to(dtype)
    return made


def require_streamable(model: VQVAE) -> None:
    """Raise UsageError for a model whose encoder does not work sample by sample."""
    if model.front is not None or not isinstance(model.encoder, Encoder) or model.encoder.norm_reach:
        raise UsageError(
            "this model cannot convert live: its encoder does not read the waveform itself or looks at seconds of it; "
            "take one like the released model (encoder.input: waveform, encoder.norm_reach: 0)"
        )


def encoder_look_ahead(encoder: Encoder, hop: int) -> int:
    """Samples after those of a code that the code depends on."""
    strided, step = 0, 1
    for layer in encoder.strided:
        strided += layer.padding[1] * step
        step *= layer.stride
    return strided + encoder.context_codes * hop


def _mixing(block: ContextBlock) -> Callable[[Tensor], Tensor]:
    return lambda y: block.mix(torch.relu(y))
