"""The evaluation's baseline on voices: whom an identifier on MFCC names in every kind of clip. The post-filter can please it."""

from collections import Counter, defaultdict
from collections.abc import Sequence

import numpy as np

from vqvc.errors import CorpusError
from vqvc.evaluation import speakers
from vqvc.evaluation.evaluation_set import EvaluationClip, by_kind, order_of, with_copies
from vqvc.evaluation.figures import figure, mean_interval
from vqvc.evaluation.suite import add_pitch, mean_figure

VOICES_KNOWN = 24  # voices among which the identifier chooses, targets and sources included
LEARNT_FROM = 15  # natural utterances per voice from which it learns
KEPT_ASIDE = 5  # natural utterances per voice on which it is checked


def speaker_figures(clips: Sequence[EvaluationClip], store, seed: int = 0) -> dict:
    """Whose voice an identifier that knows natural speech alone hears in every kind of clip."""
    add_pitch(clips, store.sample_rate)
    judge, checks, labels = identifier(clips, store, seed)
    natural = judge.names_of(checks)
    what = f"closed set of {len(judge.names)} voices; {speakers.RECIPE}"
    right = np.array([one == other for one, other in zip(natural, labels, strict=True)])
    result: dict = {
        "natural": {
            "named_rightly": _share(right, f"natural utterances kept aside whose speaker is named; {what}", seed),
            "equal_error": _equal_error(judge, checks, labels, what),
        }
    }
    judged = [clip for clip in with_copies(clips) if {clip.voice, clip.speaker} <= set(judge.names)]
    for kind, group in by_kind(judged).items():
        features = np.stack([clip_features(clip, store.sample_rate) for clip in group])
        named = judge.names_of(features)
        for clip, name in zip(group, named, strict=True):
            clip.measured["named"] = name
        target = np.array([name == clip.voice for name, clip in zip(named, group, strict=True)])
        source = np.array([name == clip.speaker for name, clip in zip(named, group, strict=True)]) & ~target
        near = [float(judge.similarities(row[None], clip.voice)[0]) for row, clip in zip(features, group, strict=True)]
        other = f"clips named as the source's speaker (another than wanted); {what}"
        rows = {
            "named_target": _share(target, f"clips named as the wanted voice; {what}", seed),
            **({} if kind in ("source", "reconstruction") else {"named_source": _share(source, other, seed)}),
            "named_other": _share(~target & ~source, f"clips named as neither; {what}", seed),
            "similarity": mean_figure(
                near, "-1 to 1", "cosine with the centre of the wanted voice in the discriminant space", seed
            ),
            "equal_error": _equal_error(judge, features, [clip.voice for clip in group], what),
        }
        if kind in ("conversion", "source"):
            names = sorted({clip.voice for clip in group} | set(named))
            counts = speakers.confusion([clip.voice for clip in group], named, names)
            rows["confusion"] = {
                "names": names,
                "counts": counts.tolist(),
                "definition": "rows: wanted voice; columns: named voice",
            }
        result[kind] = rows
    return result


def _share(flags: np.ndarray, what: str, seed: int) -> dict:
    low, high = mean_interval(flags.astype(float), seed)
    return figure(100 * float(flags.mean()), "%", what, interval_95=(100 * low, 100 * high), utterances=len(flags))


def _equal_error(judge: speakers.SpeakerIdentifier, features: np.ndarray, voices: Sequence[str], what: str) -> dict:
    scores = {name: judge.similarities(features, name) for name in judge.names}
    same = [scores[voice][index] for index, voice in enumerate(voices)]
    different = [scores[name][index] for index, voice in enumerate(voices) for name in judge.names if name != voice]
    value = speakers.equal_error_rate(np.array(same), np.array(different))
    definition = (
        f"equal error rate of the cosine with the wanted voice's centre against all other centres; chance 50 %; {what}"
    )
    return figure(100 * value, "%", definition, pairs=len(same) + len(different))


def clip_features(clip: EvaluationClip, sample_rate: int) -> np.ndarray:
    """(D,) ``voice_features`` of a clip, once."""
    if "features" not in clip.measured:
        clip.measured["features"] = speakers.voice_features(clip.samples, sample_rate, clip.measured["f0_hz"])
    return clip.measured["features"]


def identifier(
    clips: Sequence[EvaluationClip], store, seed: int
) -> tuple[speakers.SpeakerIdentifier, np.ndarray, list[str]]:
    """The judge, and features and speakers of natural utterances that it never heard."""
    from vqvc.audio.pitch import f0

    used = {clip.utt_id for clip in clips}
    own = defaultdict(list)
    for item in sorted(store.utterances, key=lambda item: order_of(item.utt_id, seed)):
        if item.utt_id not in used:
            own[item.speaker].append(item)
    voices = list(dict.fromkeys(clip.voice for clip in clips if clip.kind == "conversion" and not clip.few))
    sources = [name for name, _ in Counter(clip.speaker for clip in clips if not clip.few).most_common()]
    most = Counter({name: len(items) for name, items in own.items()})
    names = [name for name in dict.fromkeys(voices + sources) if len(own[name]) >= 2]
    names = names[: max(VOICES_KNOWN, len(voices))]
    names += [name for name, _ in most.most_common() if name not in names][: max(0, VOICES_KNOWN - len(names))]
    learnt, aside = {True: ([], []), False: ([], [])}, KEPT_ASIDE
    for name in names:
        count = max(2, min(LEARNT_FROM, len(own[name]) - aside))
        for index, item in enumerate(own[name][: count + aside]):
            samples = store.waveform(item)
            row = speakers.voice_features(samples, store.sample_rate, f0(samples, store.sample_rate)[1])
            learnt[index < count][0].append(row)
            learnt[index < count][1].append(name)
    if not learnt[False][0]:
        raise CorpusError("speaker identification needs more natural utterances per voice: none is left to check it on")
    judge = speakers.SpeakerIdentifier(np.stack(learnt[True][0]), learnt[True][1])
    return judge, np.stack(learnt[False][0]), learnt[False][1]
