"""A baseline of speaker identification: a closed-set identifier on MFCC, trained on natural speech.

It is no independent judge of conversions, since the post-filter sets the spectral statistics that it uses.
"""

from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import TypeAlias

import numpy as np

from vqvc.errors import CorpusError
from vqvc.evaluation import metric
from vqvc.evaluation.evaluation_set import EvaluationClip, by_kind, order_of, with_copies
from vqvc.evaluation.metric import ByKind, Groups, Metric, by_name
from vqvc.evaluation.metrics.pitch import add_pitch
from vqvc.evaluation.metrics.speaker import equal_error_rate

SPEAKERS_KNOWN = 24  # speakers of the identifier, including targets and sources
FITTED_ON = 15  # natural utterances per speaker that it is fitted on, at most
KEPT_ASIDE = 5  # natural utterances per speaker that it is checked on, at most
RECIPE = (
    "linear discriminant analysis (scikit-learn, shrinkage by Ledoit and Wolf) on means and deviations of 20 MFCC and their "
    "differences over frames within 35 dB of the loudest, and median and spread of log pitch; trained on natural speech alone; a baseline: the post-filter sets what it reads"
)


def speaker_features(samples: np.ndarray, sample_rate: int, f0_hz: np.ndarray) -> np.ndarray:
    """The features of ``RECIPE`` for an utterance, (83,) float64. f0_hz: (T,), NaN where unvoiced."""
    from vqvc.audio.features import deltas, mfcc
    from vqvc.evaluation.metrics.spectrum import loud_frames

    hop = sample_rate // 100
    static = np.asarray(mfcc(samples, sample_rate, n_mfcc=21, hop_length=hop), dtype=np.float64)[1:]  # without loudness
    loud = loud_frames(samples, hop, static.shape[1], 35.0)
    rows = np.concatenate([static, deltas(static)])[:, loud].T
    voiced = np.log(f0_hz[np.isfinite(f0_hz)])
    pitch = [np.median(voiced), voiced.std()] if len(voiced) else [0.0, 0.0]
    return np.concatenate([rows.mean(axis=0), rows.std(axis=0), pitch, [len(voiced) / max(1, len(f0_hz))]])


class SpeakerIdentifier:
    """Identifies the speaker of an utterance from ``speaker_features``, with equal prior probabilities."""

    def __init__(self, features: np.ndarray, speakers: Sequence[str]):
        """Fit to features (U, D) of natural utterances by ``speakers`` (U,).

        Raises CorpusError for fewer than two speakers, or fewer than two utterances of a speaker.
        """
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
        projected = self.model.transform(self._scaled(features))
        self.centres = {name: projected[np.asarray(speakers) == name].mean(axis=0) for name in self.names}

    def _scaled(self, features: np.ndarray) -> np.ndarray:
        return (features - self.mean) / self.deviation

    def names_of(self, features: np.ndarray) -> list[str]:
        """The most likely speaker for each row of features (U, D)."""
        return [str(name) for name in self.model.predict(self._scaled(features))]

    def similarities(self, features: np.ndarray, speaker: str) -> np.ndarray:
        """Cosine in the discriminant space between features (U, D) and the centre of ``speaker``: (U,)."""
        projected, centre = self.model.transform(self._scaled(features)), self.centres[speaker]
        return projected @ centre / np.maximum(np.linalg.norm(projected, axis=1) * np.linalg.norm(centre), 1e-12)


def confusion(wanted: Sequence[str], named: Sequence[str], names: Sequence[str]) -> np.ndarray:
    """Confusion matrix (len(names), len(names)) int64: rows are targets, columns are identified speakers."""
    place = {name: index for index, name in enumerate(names)}
    table = np.zeros((len(names), len(names)), dtype=np.int64)
    for one, other in zip(wanted, named, strict=True):
        table[place[one], place[other]] += 1
    return table


def measure(clips: Sequence[EvaluationClip], store, seed: int = 0, fitted: "Fitted | None" = None) -> ByKind:
    """Metrics of the identifier for each kind of recording; stores the identified speaker of a clip in ``measured``.

    fitted: the result of ``identifier`` for the same clips; computed when None.
    """
    add_pitch(clips, store.sample_rate)
    judge, checks, labels = fitted or identifier(clips, store, seed)
    recipe = f"closed set of {len(judge.names)} speakers; {RECIPE}"
    right = [one == other for one, other in zip(judge.names_of(checks), labels, strict=True)]
    natural = Groups(tuple(labels), tuple(map(str, range(len(labels)))))
    what = "natural utterances kept aside whose speaker is named"
    result: ByKind = {
        "natural": by_name([
            metric.share("named_rightly", right, natural, definition=what, judge=recipe, seed=seed),
            _equal_error(judge, checks, labels, natural, recipe, seed),
        ])
    }  # fmt: skip
    judged = [clip for clip in with_copies(clips) if {clip.target, clip.speaker} <= set(judge.names)]
    for kind, group in by_kind(judged).items():
        features = np.stack([clip_features(clip, store.sample_rate) for clip in group])
        for clip, name in zip(group, judge.names_of(features), strict=True):
            clip.measured["named"] = name
        result[kind] = by_name(_metrics(judge, group, features, kind in ("source", "reconstruction"), recipe, seed))
    return result


def _metrics(
    judge: "SpeakerIdentifier",
    group: Sequence[EvaluationClip],
    features: np.ndarray,
    own: bool,
    recipe: str,
    seed: int,
) -> list[Metric]:
    """The metrics of a group of clips. own: whether the target is the source's speaker, as for reconstructions."""
    groups, facts = Groups.of(group), {"judge": recipe, "seed": seed}
    target = np.array([clip.measured["named"] == clip.target for clip in group])
    source = np.array([clip.measured["named"] == clip.speaker for clip in group]) & ~target
    near = [float(judge.similarities(row[None], clip.target)[0]) for row, clip in zip(features, group, strict=True)]
    found = [metric.share("named_target", target, groups, definition="clips named as the target", **facts)]
    if not own:
        what = "clips named as the source's speaker (another than the target)"
        found.append(metric.share("named_source", source, groups, definition=what, **facts))
    what = "cosine with the centre of the target in the discriminant space"
    return [
        *found,
        metric.share("named_other", ~target & ~source, groups, definition="clips named as neither", **facts),
        metric.mean("similarity", near, groups, unit="-1 to 1", definition=what, **facts),
        _equal_error(judge, features, [clip.target for clip in group], groups, recipe, seed),
    ]


def confusions(clips: Sequence[EvaluationClip]) -> dict[str, dict]:
    """Confusion matrices by kind of the clips that ``measure`` has identified, as JSON: names, counts, definition."""
    result = {}
    for kind in ("source", "conversion"):
        group = [clip for clip in clips if clip.kind == kind and not clip.few and "named" in clip.measured]
        if group:
            wanted, named = [clip.target for clip in group], [clip.measured["named"] for clip in group]
            names = sorted({*wanted, *named})
            counts = confusion(wanted, named, names).tolist()
            what = "rows: target speaker; columns: named speaker"
            result[kind] = {"names": names, "counts": counts, "definition": what}
    return result


def _equal_error(
    judge: "SpeakerIdentifier",
    features: np.ndarray,
    targets: Sequence[str],
    groups: Groups,
    recipe: str,
    seed: int,
) -> Metric:
    scores = np.stack([judge.similarities(features, name) for name in judge.names], axis=1)
    wanted = np.array(targets)[:, None] == np.array(judge.names)

    def compute(index: np.ndarray) -> float:
        return 100 * equal_error_rate(scores[index][wanted[index]], scores[index][~wanted[index]])

    what = "equal error rate of the cosine with the target's centre against all other centres; chance 50 %"
    return metric.statistic("equal_error", compute, groups, unit="%", definition=what, judge=recipe, seed=seed)


def clip_features(clip: EvaluationClip, sample_rate: int) -> np.ndarray:
    """``speaker_features`` (D,) of a clip, which are stored in ``measured``."""
    if "features" not in clip.measured:
        clip.measured["features"] = speaker_features(clip.samples, sample_rate, clip.measured["f0_hz"])
    return clip.measured["features"]


Fitted: TypeAlias = tuple[SpeakerIdentifier, np.ndarray, list[str]]


def identifier(clips: Sequence[EvaluationClip], store, seed: int) -> Fitted:
    """Train the identifier: returns it, and features and speakers of natural utterances that it was not trained on.

    Raises CorpusError if there are too few natural utterances.
    """
    from vqvc.audio.pitch import f0

    used = {clip.utt_id for clip in clips}
    own = defaultdict(list)
    for item in sorted(store.utterances, key=lambda item: order_of(item.utt_id, seed)):
        if item.utt_id not in used:
            own[item.speaker].append(item)
    targets = list(dict.fromkeys(clip.target for clip in clips if clip.kind == "conversion" and not clip.few))
    sources = [name for name, _ in Counter(clip.speaker for clip in clips if not clip.few).most_common()]
    most = Counter({name: len(items) for name, items in own.items()})
    names = [name for name in dict.fromkeys(targets + sources) if len(own[name]) >= 2]
    names = names[: max(SPEAKERS_KNOWN, len(targets))]
    names += [name for name, _ in most.most_common() if name not in names][: max(0, SPEAKERS_KNOWN - len(names))]
    fitted, aside = {True: ([], []), False: ([], [])}, KEPT_ASIDE
    for name in names:
        count = max(2, min(FITTED_ON, len(own[name]) - aside))
        for index, item in enumerate(own[name][: count + aside]):
            samples = store.waveform(item)
            row = speaker_features(samples, store.sample_rate, f0(samples, store.sample_rate)[1])
            fitted[index < count][0].append(row)
            fitted[index < count][1].append(name)
    if not fitted[False][0]:
        raise CorpusError(
            "speaker identification needs more natural utterances per speaker: none is left to check it on"
        )
    judge = SpeakerIdentifier(np.stack(fitted[True][0]), fitted[True][1])
    return judge, np.stack(fitted[False][0]), fitted[False][1]
