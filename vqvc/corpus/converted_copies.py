"""Converted copies of a packed store: every utterance in another voice, by a trained model.

Where the encoder reads a conversion while the decoder predicts the original, the codes that a model makes of another speaker's
sentence are those of the sentence: conversions fed back, as the cycle of Kaneko & Kameoka 2018 does, but without an adversary and
with copies that are made once. A conversion keeps timing and length, so that a copy is laid out as the audio is.
"""

from collections.abc import Iterator, Sequence
from typing import Any, Protocol

import numpy as np

from vqvc.corpus.perturbation import rms
from vqvc.corpus.store import CONVERTED, FULL_SCALE, PackedStore, Utterance
from vqvc.corpus.store_copies import draw_key, write_copies
from vqvc.corpus.store_writer import quantise
from vqvc.errors import AudioError

TOGETHER = 64  # utterances that are converted at a time


class Converter(Protocol):
    """What is needed of ``vqvc.api.VoiceConverter``."""

    @property
    def checksum(self) -> str:
        """Of the model file."""

    @property
    def speakers(self) -> Sequence[str]:
        """Names of the voices."""

    def analyse(self, source: Any, *, equalizer: bool) -> Any:
        """What a conversion takes from samples and their rate; raises AudioError for what cannot be converted."""

    def synthesize(self, pairs: Any, *, seed: int) -> list[np.ndarray]:
        """Analyses as speakers: (T,) float32 each."""


def add_copies(store: PackedStore, copies: int, converter: Converter, *, seed: int = 1) -> Iterator[int]:
    """Have ``copies`` converted copies beside the store's audio; yields 1 for each utterance and copy when it is made.

    The voice of an utterance in a copy is drawn among the converter's speakers without its own. An utterance that cannot be converted
    stays as it is. Copies that are there already, by the same model and seed, are kept.
    """
    made_by = {"model": converter.checksum, "seed": seed}
    yield from write_copies(store, CONVERTED, copies, made_by, lambda copy: _copies_of(store, copy, converter, seed))


def _copies_of(store: PackedStore, copy: int, converter: Converter, seed: int) -> Iterator[np.ndarray]:
    """(T,) int16 of every utterance in the store's order."""
    for first in range(0, len(store), TOGETHER):
        some = store.utterances[first : first + TOGETHER]
        analyses = {}
        for utterance in some:
            try:
                analyses[utterance] = converter.analyse((store.waveform(utterance), store.sample_rate), equalizer=False)
            except AudioError:  # too short or too quiet
                continue
        pairs = [(analysis, voice_of(u, copy, converter.speakers, seed)) for u, analysis in analyses.items()]
        made = dict(zip(analyses, converter.synthesize(pairs, seed=seed + copy))) if pairs else {}
        for utterance in some:
            original = store.waveform(utterance)
            yield quantise(_at_level_of(original, made[utterance]) if utterance in made else original)


def voice_of(utterance: Utterance, copy: int, speakers: Sequence[str], seed: int) -> str:
    """The voice that an utterance has in a copy: any of ``speakers`` but its own, unless there is no other."""
    others = [speaker for speaker in speakers if speaker != utterance.speaker] or list(speakers)
    return others[draw_key(seed, copy, utterance.utt_id) % len(others)]


def _at_level_of(original: np.ndarray, samples: np.ndarray) -> np.ndarray:
    """samples (T,) at the RMS of the original (T,)."""
    return (samples * (rms(original) / max(rms(samples), 1 / FULL_SCALE))).clip(-1, 1).astype(np.float32)
