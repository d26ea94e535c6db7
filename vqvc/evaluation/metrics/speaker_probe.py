"""What the codes hold beside phones: probes for speaker and gender on code histograms."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from vqvc.errors import CorpusError
from vqvc.evaluation.figures import mean_interval
from vqvc.evaluation.metric import Metric
from vqvc.evaluation.metrics.codes import histograms
from vqvc.evaluation.probe import LabelledCodes

MOST_PER_SPEAKER = 30  # training utterances per speaker on which the speaker probe is fitted


def speaker_probe(data: LabelledCodes, subsets: Sequence[str], what: str, seed: int = 0) -> Metric:
    """How often a probe on code histograms names the speaker of a dev utterance. subsets: (U,) of each utterance."""
    rows = histograms(data.codes.astype(np.int64), data.offsets, data.codebook_size)
    subsets, speakers = np.asarray(subsets), np.asarray(data.speakers)
    train = _few_each(speakers, np.flatnonzero(subsets == "train"), seed)
    test = np.flatnonzero((subsets == "dev") & np.isin(speakers, speakers[train]))
    found = probe(rows[train], speakers[train], rows[test], speakers[test])
    low, high = mean_interval(found.right, seed)
    return Metric(
        "speaker_probe",
        100 * found.accuracy,
        "%",
        f"share of dev utterances (known speakers, unseen sentences) whose speaker a logistic regression on {what} names, "
        f"fitted on at most {MOST_PER_SPEAKER} training utterances per speaker; lower means less identity in the codes",
        interval=(100 * low, 100 * high),
        chance=100 * found.chance,
        speakers=found.classes,
        n=len(found.right),
    )


def gender_probe(data: LabelledCodes, genders: Mapping[str, str], what: str, seed: int = 0) -> Metric:
    """How often a probe on code histograms predicts the gender of a speaker that it was not fitted on."""
    speakers = np.asarray(data.speakers)
    known = _few_each(speakers, np.flatnonzero([genders.get(name, "") != "" for name in speakers]), seed)
    rows = histograms(data.codes.astype(np.int64), data.offsets, data.codebook_size)[known]
    labels, names = np.array([genders[name] for name in speakers[known]]), speakers[known]
    order = np.random.default_rng(seed).permutation(np.unique(names))
    if len(set(labels)) < 2 or len(order) < 4:
        raise CorpusError("a gender probe needs at least two classes and four speakers of known gender")
    shares: dict[str, float] = {}
    for fold in range(min(5, len(order))):
        inside = np.isin(names, order[fold::5])
        if len(set(labels[~inside])) < 2:
            continue
        found = probe(rows[~inside], labels[~inside], rows[inside], labels[inside])
        for name in order[fold::5]:
            shares[name] = float(found.right[names[inside] == name].mean())
    low, high = mean_interval(list(shares.values()), seed)
    commonest = max(np.mean(labels == label) for label in set(labels))
    return Metric(
        "gender_probe",
        100 * float(np.mean(list(shares.values()))),
        "%",
        f"share of utterances whose speaker's gender a logistic regression on {what} names; five folds, no speaker in two of "
        "them; mean and interval over speakers",
        interval=(100 * low, 100 * high),
        chance=100 * commonest,
        speakers=len(shares),
    )


def _few_each(speakers: np.ndarray, candidates: np.ndarray, seed: int) -> np.ndarray:
    """At most MOST_PER_SPEAKER of ``candidates`` for each speaker, drawn at random, in order."""
    order = np.random.default_rng(seed).permutation(candidates)
    taken: dict[str, int] = {}
    kept = []
    for index in order:
        taken[speakers[index]] = taken.get(speakers[index], 0) + 1
        if taken[speakers[index]] <= MOST_PER_SPEAKER:
            kept.append(index)
    return np.sort(np.array(kept, dtype=np.int64))


@dataclass(frozen=True)
class ProbeResult:
    """How well a label can be predicted from the codes: right answers per utterance (U,) bool, and what chance gives."""

    right: np.ndarray
    chance: float
    classes: int

    @property
    def accuracy(self) -> float:
        return float(self.right.mean())


def probe(train: np.ndarray, train_labels: Sequence[str], test: np.ndarray, test_labels: Sequence[str]) -> ProbeResult:
    """Logistic regression on square roots of code histograms (U, K): fitted on ``train``, scored on ``test``.

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
    return ProbeResult(right=right, chance=float((test_labels == names[counts.argmax()]).mean()), classes=len(names))
