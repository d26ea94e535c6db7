"""Crops of the packed store. Batch n is a function of (seed, n) alone, so a resumed run needs no position in the data."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from vqvc.corpus.store import FULL_SCALE, PackedStore, Utterance
from vqvc.errors import CorpusError
from vqvc.training.unit_targets import UnitTargets


@dataclass(frozen=True)
class Batch:
    """waveform (B, T) and history (B, P) float32, the P samples before each crop (0 where there are none);
    source (B, T) float32, what the encoder reads: the waveform, or the same samples of a copy; speaker (B,) int64; scored (B, T) bool, False in the context and where an utterance had ended; utt_ids."""

    step: int
    waveform: np.ndarray
    history: np.ndarray
    source: np.ndarray
    speaker: np.ndarray
    scored: np.ndarray
    utt_ids: tuple[str, ...]
    units: np.ndarray | None = None  # (B, codes) int64, acoustic units of the waveform, -1 where an utterance had ended


class Crops:
    """Random crops of one subset.

    A speaker is drawn first: ``speaker_balance`` 0 in proportion to the length of their recordings, 1 evenly; then an
    utterance in proportion to its length, then a start at any sample (which shifts the code grid at random).
    ``perturbed_fraction`` of the crops have one of the store's copies, perturbed or converted, drawn evenly, as their source.
    """

    def __init__(
        self,
        store: PackedStore,
        subset: str,
        speakers: tuple[str, ...],
        *,
        batch_size: int,
        crop_samples: int,
        context_samples: int = 0,
        history_samples: int = 64,
        speaker_balance: float = 0.0,
        perturbed_fraction: float = 0.0,
        seed: int = 1,
        share: tuple[int, int] = (0, 1),
    ):
        self.store, self.seed = store, seed
        self.targets: UnitTargets | None = None  # gives the batches their ``units``
        self.perturbed_fraction = perturbed_fraction
        if perturbed_fraction and not store.copies:
            raise CorpusError(
                f"{store.path}: has no copies, which training.perturbed_fraction wants; run vqvc-pack --perturb or --converted"
            )
        self.batch_size, self.crop_samples = batch_size, crop_samples
        self.context_samples, self.history_samples = context_samples, history_samples
        self.rank, self.workers = share
        self.by_speaker: list[tuple[Utterance, ...]] = []
        self.index: list[int] = []
        utterances = store.subset(subset)
        for number, speaker in enumerate(speakers):
            own = tuple(u for u in utterances if u.speaker == speaker)
            if own:
                self.by_speaker.append(own)
                self.index.append(number)
        if not self.by_speaker:
            raise CorpusError(f"{store.path}: the subset {subset} is empty; prepare a larger corpus")
        self.lengths = [np.array([u.length_samples for u in own], np.float64) for own in self.by_speaker]
        totals = np.array([lengths.sum() for lengths in self.lengths])
        weights = (totals / totals.sum()) ** (1 - speaker_balance)
        self.weights = weights / weights.sum()
        self.total_samples = int(totals.sum())

    def batch(self, step: int, whole: bool = False) -> Batch:
        """This worker's share of the batch of ``step``, or the ``whole`` of it."""
        rng = np.random.Generator(np.random.Philox(key=self.seed, counter=[0, 0, 0, step]))
        picks = [self._pick(rng) for _ in range(self.batch_size)]
        if not whole:
            picks = picks[self.rank :: self.workers]
        audio = [self.store.audio, *self.store.copies]
        size, context, past = len(picks), self.context_samples, self.history_samples
        padded = np.zeros((size, past + self.crop_samples), np.float32)
        source = np.zeros((size, self.crop_samples), np.float32)
        scored = np.zeros((size, self.crop_samples), bool)
        for row, (_, utterance, start, copy) in enumerate(picks):
            first, end = max(0, start - past), min(start + self.crop_samples, utterance.length_samples)
            pcm = self.store.audio[utterance.offset_samples + first : utterance.offset_samples + end]
            if len(pcm) < end - first:
                raise CorpusError(
                    f"{self.store.path}: {utterance.utt_id} is cut short in the store; run vqvc-pack again"
                )
            at = past - (start - first)
            padded[row, at : at + len(pcm)] = pcm / np.float32(FULL_SCALE)
            samples = audio[copy][utterance.offset_samples + start : utterance.offset_samples + end]
            source[row, : len(samples)] = samples / np.float32(FULL_SCALE)
            scored[row, context if start else 0 : end - start] = True  # at its start an utterance has its whole history
        return Batch(
            step=step,
            waveform=padded[:, past:],
            history=padded[:, :past],
            source=source,
            speaker=np.array([self.index[pick[0]] for pick in picks], np.int64),
            scored=scored,
            utt_ids=tuple(pick[1].utt_id for pick in picks),
            units=self.targets and np.stack([self.targets.of(pick[1], pick[2], self.crop_samples) for pick in picks]),
        )

    def _pick(self, rng: np.random.Generator) -> tuple[int, Utterance, int, int]:
        """Speaker, utterance, start, and which audio is the source: 0 the original, 1, 2, ... a copy."""
        speaker = int(rng.choice(len(self.weights), p=self.weights))
        lengths = self.lengths[speaker]
        utterance = self.by_speaker[speaker][int(rng.choice(len(lengths), p=lengths / lengths.sum()))]
        start = int(rng.integers(-self.context_samples, max(1, utterance.length_samples - self.crop_samples + 1)))
        copy = 0
        if self.perturbed_fraction and rng.random() < self.perturbed_fraction:
            copy = int(rng.integers(1, len(self.store.copies) + 1))
        return speaker, utterance, max(0, start), copy

    def batches(self, first_step: int, last_step: int) -> Iterator[Batch]:
        """The batches of steps first_step .. last_step - 1, each made while the one before is in use."""
        with ThreadPoolExecutor(1) as loader:
            upcoming = loader.submit(self.batch, first_step)
            for step in range(first_step, last_step):
                ready = upcoming.result()
                if step + 1 < last_step:
                    upcoming = loader.submit(self.batch, step + 1)
                yield ready
