"""Speaker and gender information in codes: probes on code histograms."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from vqvc.errors import CorpusError
from vqvc.evaluation.figures import mean_interval
from vqvc.evaluation.metric import Metric
from vqvc.evaluation.metrics.codes import histograms
from vqvc.evaluation.probe import LabelledCodes

MOST_PER_SPEAKER = 30  # training utterances per speaker that the speaker probe is fitted on, at most


def speaker_probe(data: LabelledCodes, subsets: Sequence[str], what: str, seed: int = 0) -> Metric:
    """The accuracy of a speaker classifier on code histograms of dev utterances.

    subsets: (U,), of each utterance. what: the histograms, for the definition.
    """
    rows = histograms(data.codes.astype(np.int64), data.offsets, data.codebook_size)
    subsets, speakers = np.asarray(subsets), np.asarray(data.speakers)
    train = _few_each(speakers, np.flatnonzero(subsets == "train"), seed)
    test = np.flatnonzero((subsets == "dev") & np.isin(speakers, speakers[train]))
    result = probe(rows[train], speakers[train], rows[test], speakers[test])
    low, high = mean_interval(result.right, seed)
    return Metric(
        "speaker_probe",
        100 * result.accuracy,
        "%",
        f"share of dev utterances (known speakers, unseen sentences) whose speaker a logistic regression on {what} names, "
        f"fitted on at most {MOST_PER_SPEAKER} training utterances per speaker; lower means less identity in the codes",
        interval=(100 * low, 100 * high),
        chance=100 * result.chance,
        speakers=result.classes,
        n=len(result.right),
    )


def gender_probe(data: LabelledCodes, genders: Mapping[str, str], what: str, seed: int = 0) -> Metric:
    """The accuracy of a gender classifier on code histograms of speakers that it was not fitted on, in five folds.

    genders: by speaker. what: the histograms, for the definition. Raises CorpusError for fewer than four speakers.
    """
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
        result = probe(rows[~inside], labels[~inside], rows[inside], labels[inside])
        for name in order[fold::5]:
            shares[name] = float(result.right[names[inside] == name].mean())
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
    """Draw at most MOST_PER_SPEAKER of the indices ``candidates`` for each speaker; returns them sorted."""
    order = np.random.default_rng(seed).permutation(candidates)
    counts: dict[str, int] = {}
    drawn = []
    for index in order:
        counts[speakers[index]] = counts.get(speakers[index], 0) + 1
        if counts[speakers[index]] <= MOST_PER_SPEAKER:
            drawn.append(index)
    return np.sort(np.array(drawn, dtype=np.int64))


@dataclass(frozen=True)
class ProbeResult:
    """The result of a probe.

    right: (U,) bool, which predictions are correct. chance: the accuracy of guessing. classes: how many there are.
    """

    right: np.ndarray
    chance: float
    classes: int

    @property
    def accuracy(self) -> float:
        return float(self.right.mean())


def probe(train: np.ndarray, train_labels: Sequence[str], test: np.ndarray, test_labels: Sequence[str]) -> ProbeResult:
    """Fit a logistic regression to square roots of code histograms ``train`` (U, K), and score it on ``test``.

    The chance level is the accuracy of always predicting the most frequent training label. Raises CorpusError for fewer
    than two classes.
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
