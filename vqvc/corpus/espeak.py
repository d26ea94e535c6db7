"""eSpeak NG through ctypes: text in, samples and the synthesiser's own phone times out.

The C library has one global state and is not thread-safe, and its noise depends on all that was synthesized before: one
Synthesiser per process, and a new process wherever the result must not depend on history.
Source of the interface: espeak-ng/speak_lib.h, version 1.52.
"""

import ctypes
from dataclasses import dataclass

from vqvc._util import extras
from vqvc.errors import MissingExtraError, VqvcError

_SYNCHRONOUS = 2  # samples are handed to the callback before espeak_Synth returns
_PHONEME_EVENTS, _PHONEME_IPA, _DO_NOT_EXIT = 1, 2, 0x8000
_EVENT_END, _EVENT_PHONEME = 0, 7
_RATE, _VOLUME, _PITCH, _RANGE = 1, 2, 3, 4  # espeak_PARAMETER
_HEADROOM_VOLUME = 75  # of 100; at 100 the louder variants clip
_UTF8 = 1


class _EventId(ctypes.Union):
    _fields_ = [("number", ctypes.c_int), ("name", ctypes.c_char_p), ("string", ctypes.c_ubyte * 8)]


class _Event(ctypes.Structure):
    _fields_ = [
        ("type", ctypes.c_int), ("unique_identifier", ctypes.c_uint), ("text_position", ctypes.c_int),
        ("length", ctypes.c_int), ("audio_position", ctypes.c_int), ("sample", ctypes.c_int),
        ("user_data", ctypes.c_void_p), ("id", _EventId),
    ]  # fmt: skip


_Callback = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.POINTER(_Event))


@dataclass(frozen=True)
class Synthesis:
    """Speech and its phone times."""

    pcm: bytes  # int16, native byte order, mono
    sample_rate: int  # Hz
    phonemes: tuple[tuple[int, str], ...]  # (first sample, IPA with stress marks; empty for a pause), in order

    @property
    def length_samples(self) -> int:
        """Samples in ``pcm``."""
        return len(self.pcm) // 2


class Synthesiser:
    """The library, loaded into this process; raises MissingExtraError when it cannot be."""

    def __init__(self) -> None:
        loader = extras.load("espeakng_loader", "synthetic")
        try:
            self._library = ctypes.CDLL(loader.get_library_path())
            data = loader.get_data_path()
        except (OSError, RuntimeError) as error:
            raise MissingExtraError(
                "espeakng-loader", "synthetic", f"does not load ({extras.first_line(error)})"
            ) from error
        options = _PHONEME_EVENTS | _PHONEME_IPA | _DO_NOT_EXIT
        self.sample_rate: int = self._library.espeak_Initialize(_SYNCHRONOUS, 0, str(data).encode(), options)
        if self.sample_rate <= 0:
            raise MissingExtraError("espeakng-loader", "synthetic", f"does not find its voices in {data}")
        self._blocks: list[bytes] = []
        self._phonemes: list[tuple[int, str]] = []
        self._callback = _Callback(self._receive)  # kept: C holds a bare pointer to it
        self._library.espeak_SetSynthCallback(self._callback)

    def voice(self, name: str, *, pitch: int, pitch_range: int, rate_wpm: int) -> None:
        """Choose a voice (``en-us+f3``), its pitch and pitch range (0 to 100, 50 is usual) and words per minute."""
        if self._library.espeak_SetVoiceByName(name.encode()) != 0:
            raise VqvcError(f"eSpeak NG has no voice {name!r}; update the package espeakng-loader")
        wanted = {_PITCH: pitch, _RANGE: pitch_range, _RATE: rate_wpm, _VOLUME: _HEADROOM_VOLUME}
        for parameter, value in wanted.items():
            self._library.espeak_SetParameter(parameter, value, 0)

    def synthesize(self, text: str) -> Synthesis:
        """Speech of one text in the chosen voice; raises VqvcError where there is none."""
        self._blocks.clear()
        self._phonemes.clear()
        data = text.encode("utf-8")
        status = self._library.espeak_Synth(data, ctypes.c_size_t(len(data) + 1), 0, 1, 0, _UTF8, None, None)
        if status != 0 or not self._blocks:
            raise VqvcError(f"eSpeak NG synthesized nothing for {text!r} (status {status})")
        return Synthesis(b"".join(self._blocks), self.sample_rate, tuple(self._phonemes))

    def _receive(self, samples, count: int, events) -> int:
        if samples and count > 0:
            self._blocks.append(ctypes.string_at(samples, 2 * count))
        place = 0
        while events[place].type != _EVENT_END:
            event = events[place]
            if event.type == _EVENT_PHONEME:
                self._phonemes.append((event.sample, bytes(event.id.string).split(b"\0")[0].decode("utf-8", "replace")))
            place += 1
        return 0
