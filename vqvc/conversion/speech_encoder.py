"""Encoding of speech without a decoder, by an encoder and its codebook from a code encoder's or a model's file."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from vqvc._util import devices
from vqvc.conversion import encoding
from vqvc.conversion.code_encoder_file import read_either
from vqvc.conversion.source import Source

if TYPE_CHECKING:
    from vqvc.conversion.code_encoder_file import CodeEncoderFile
    from vqvc.conversion.model_file import ModelFile
    from vqvc.conversion.source import Given


class SpeechEncoder:
    """An encoder and its codebook. Make one with :func:`vqvc.load_encoder`.

    sample_rate: in Hz, also of samples that are given without a rate. hop_length: samples per code. checksum: of the
        file.
    device: of the network. model: the network, in evaluation mode.
    """

    def __init__(self, file: "CodeEncoderFile | ModelFile", device: str | None = None) -> None:
        self.device = devices.choose(device or "auto")
        self.model = file.model.to(self.device)
        self.sample_rate: int = file.config.audio.sample_rate
        self.hop_length: int = file.config.hop_length
        self.checksum: str = file.checksum

    @classmethod
    def load(cls, path: str | Path, device: str | None = None) -> "SpeechEncoder":
        """Read a code encoder or a model file. Raises ModelError as ``read_either`` does."""
        return cls(read_either(path), device)

    @property
    def codebook(self) -> np.ndarray[Any, Any]:
        """The vectors of the codes, (K, D) float32."""
        return self.model.quantizer.codebook.detach().cpu().numpy()

    def encode(self, source: "Given", *, equalizer: bool = True) -> np.ndarray[Any, Any]:
        """Encode a recording of any length: codes (ceil(T / hop_length),) int64.

        source: a path; samples (T,); or samples and their rate in Hz. equalizer: correct its channel, see
        ``conversion.equalizer``; the file of a code encoder has none. Raises AudioError if the recording is unreadable,
        silent, not finite or shorter than one code.
        """
        return encoding.encode_recording(self.model, Source.of(source, self.sample_rate), equalizer=equalizer)[0]
