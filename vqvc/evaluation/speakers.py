"""Whose voice is it? A closed-set identification trained on natural speech alone, and what the codes give away."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from vqvc.errors import CorpusError

RECIPE = (
    "linear discriminant analysis (scikit-learn, shrinkage by Ledoit and Wolf) on means and deviations of 20 MFCC and their "
    "differences over frames within 35 dB of the loudest, and median and spread of log pitch; trained on natural speech alone; a baseline: the post-filter sets what it reads"
)


def voice_features(samples: np.ndarray, sample_rate: int, f0_hz: np.ndarray) -> np.ndarray:
    """(83,) float64: what ``RECIPE`` reads from one utterance. f0_hz: (T,) NaN where unvoiced."""
    from vqvc.audio.features import deltas, mfcc
    from vqvc.evaluation.metrics import loud_frames

    hop = sample_rate // 100
    static = np.asarray(mfcc(samples, sample_rate, n_mfcc=21, hop_length=hop), dtype=np.float64)[1:]  # without loudness
    loud = loud_frames(samples, hop, static.shape[1], 35.0)
    rows = np.concatenate([static, deltas(static)])[:, loud].T
    voiced = np.log(f0_hz[np.isfinite(f0_hz)])
    pitch = [np.median(voiced), voiced.std()] if len(voiced) else [0.0, 0.0]
    return np.concatenate([rows.mean(axis=0), rows.std(axis=0), pitch, [len(voiced) / max(1, len(f0_hz))]])


class SpeakerIdentifier:
    """Names the speaker of an utterance from ``voice_features``; every known speaker is equally likely beforehand."""

    def __init__(self, features: np.ndarray, speakers: Sequence[str]):
        """features: (U, D) of natural utterances; speakers: (U,) names. Raises CorpusError below two speakers."""
        from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

        names, counts = np.unique(np.asarray(speakers), return_counts=True)
        if len(names) < 2 or counts.min() < 2:
            raise CorpusError(
                "speaker identification needs at least two classes (speakers) with two natural utterances each"
            )
        self.mean, self.deviation = features.mean(axis=0), features.std(axis=0) + 1e-9
        even = np.full(len(names), 1 / len(names))
        self.model = LinearDiscriminantAnalysis(solver="eigen", shrinkage="auto", priors=even)
        self.model.fit(self._scaled(features), np.asarray(speakers))
        self.names = tuple(str(name) for name in self.model.classes_)
        voices = self.model.transform(self._scaled(features))
        self.centres = {name: voices[np.asarray(speakers) == name].mean(axis=0) for name in self.names}

    def _scaled(self, features: np.ndarray) -> np.ndarray:
        return (features - self.mean) / self.deviation

    def names_of(self, features: np.ndarray) -> list[str]:
        """(U, D) -> the likeliest speaker of each."""
        return [str(name) for name in self.model.predict(self._scaled(features))]

    def similarities(self, features: np.ndarray, speaker: str) -> np.ndarray:
        """(U, D) -> (U,) cosine, in the discriminant space, with the centre of ``speaker``'s natural speech."""
        voices, centre = self.model.transform(self._scaled(features)), self.centres[speaker]
        return voices @ centre / np.maximum(np.linalg.norm(voices, axis=1) * np.linalg.norm(centre), 1e-12)


def equal_error_rate(same: np.ndarray, different: np.ndarray) -> float:
    """Where misses equal false alarms: ``same`` scores should lie above ``different`` ones. 0 perfect, 0.5 chance.

    Raises CorpusError when either side is empty.
    """
    same, different = np.sort(np.asarray(same, float)), np.sort(np.asarray(different, float))
    if not len(same) or not len(different):
        raise CorpusError("an equal error rate needs at least two classes: pairs of the same and of different speakers")
    thresholds = np.unique(np.concatenate([same, different, [np.inf]]))
    misses = np.searchsorted(same, thresholds, side="left") / len(same)
    alarms = 1 - np.searchsorted(different, thresholds, side="left") / len(different)
    after = int(np.argmax(misses >= alarms))
    if after == 0 or misses[after] == alarms[after]:
        return float((misses[after] + alarms[after]) / 2)
    gap_before, gap_after = alarms[after - 1] - misses[after - 1], misses[after] - alarms[after]
    share = gap_before / (gap_before + gap_after)
    return float(misses[after - 1] + share * (misses[after] - misses[after - 1]))


def confusion(wanted: Sequence[str], named: Sequence[str], names: Sequence[str]) -> np.ndarray:
    """(len(names), len(names)) int: rows what was wanted, columns what was named."""
    place = {name: index for index, name in enumerate(names)}
    table = np.zeros((len(names), len(names)), dtype=np.int64)
    for one, other in zip(wanted, named, strict=True):
        table[place[one], place[other]] += 1
    return table


@dataclass(frozen=True)
class Leak:
    """How well a label can be told from the codes: right answers per utterance (U,) bool, and what chance gives."""

    right: np.ndarray
    chance: float
    classes: int

    @property
    def accuracy(self) -> float:
        return float(self.right.mean())


def leak(train: np.ndarray, train_labels: Sequence[str], test: np.ndarray, test_labels: Sequence[str]) -> Leak:
    """Logistic regression on square roots of code histograms (U, K): fitted on ``train``, asked on ``test``.

    chance: what always answering the commonest training label gets on ``test``. Raises CorpusError below two classes.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.preprocessing import StandardScaler

    train_labels, test_labels = np.asarray(train_labels), np.asarray(test_labels)
    names, counts = np.unique(train_labels, return_counts=True)
    if len(names) < 2 or not len(test_labels):
        raise CorpusError(
            "a probe for the speaker or the gender needs at least two classes among the fitted utterances"
        )
    scaler = StandardScaler().fit(np.sqrt(train))
    model = LogisticRegression(C=0.1, max_iter=300).fit(scaler.transform(np.sqrt(train)), train_labels)
    right = model.predict(scaler.transform(np.sqrt(test))) == test_labels
    return Leak(right=right, chance=float((test_labels == names[counts.argmax()]).mean()), classes=len(names))
