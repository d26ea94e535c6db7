"""The evaluation: what comes out, judged beside natural speech. Every section is figures by name for every kind of clip."""

import logging
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from vqvc.errors import CorpusError, MissingExtraError
from vqvc.evaluation import content, metrics, speakers
from vqvc.evaluation.clips import KINDS, Clip, order_of, parallel
from vqvc.evaluation.figures import figure, mean_interval, ratio_interval, tidy

logger = logging.getLogger("vqvc.evaluate")

VOICES_KNOWN = 24  # voices among which the identifier chooses, targets and sources included
LEARNT_FROM = 15  # natural utterances per voice from which it learns
KEPT_ASIDE = 5  # natural utterances per voice on which it is checked


def section(name: str, make: Callable[[], dict]) -> dict:
    """``make()``, or {"left_out": why} when the corpus or an absent package does not allow it."""
    logger.info("measuring: %s", name)
    try:
        return make()
    except (CorpusError, MissingExtraError) as error:
        logger.warning("%s left out: %s", name, error)
        return {"left_out": str(error)}


def by_kind(clips: Sequence[Clip]) -> dict[str, list[Clip]]:
    """{kind: clips}, kinds without clips left out, conversions of unseen speakers once more on their own."""
    groups: dict[str, list[Clip]] = {kind: [clip for clip in clips if clip.kind == kind] for kind in KINDS}
    made = groups["conversion"]
    if any(clip.seen for clip in made) and not all(clip.seen for clip in made):
        groups["conversion_of_seen"] = [clip for clip in made if clip.seen]
        groups["conversion_of_unseen"] = [clip for clip in made if not clip.seen]
    return {kind: group for kind, group in groups.items() if group}


def content_figures(clips: Sequence[Clip], sample_rate: int, hear: Callable | None = None, seed: int = 0) -> dict:
    """Word and character error of what a recogniser hears; the source is natural speech, and what copying would get."""
    spoken = [clip for clip in clips if content.plain_words(clip.text)]
    if not spoken:
        raise CorpusError("word error needs transcripts: none of the chosen utterances has a text")
    hear = hear or content.Recogniser().words
    for clip in spoken:
        clip.measured["heard"] = hear(clip.samples, sample_rate)
    result = {}
    for kind, group in by_kind(spoken).items():
        rows = {}
        for unit, name in (("word", "word_error"), ("character", "character_error")):
            found = content.count_errors(
                [clip.text for clip in group], [clip.measured["heard"] for clip in group], unit
            )
            low, high = ratio_interval(found.edits, found.lengths, seed)
            rows[name] = figure(
                100 * found.rate,
                "%",
                f"insertions, deletions and substitutions of {unit}s over {unit}s said; {content.RECIPE}",
                interval_95=(100 * low, 100 * high),
                utterances=len(found.lengths),
            )
        result[kind] = rows
    return result


def add_pitch(clips: Sequence[Clip], sample_rate: int) -> None:
    """Pitch track of every clip, once."""
    from vqvc.audio.pitch import f0

    for clip in clips:
        if "f0_hz" not in clip.measured:
            clip.measured["times_s"], clip.measured["f0_hz"] = f0(clip.samples, sample_rate)


def prosody_figures(clips: Sequence[Clip], sample_rate: int, seed: int = 0) -> dict:
    """Pitch, voicing and pace of every kind, beside the source on the same timeline and the voice that was wanted."""
    add_pitch(clips, sample_rate)
    source = {clip.utt_id: clip for clip in clips if clip.kind == "source"}
    result: dict = {}
    for kind, group in by_kind(clips).items():
        own = [metrics.pitch_summary(clip.measured["f0_hz"]) for clip in group]
        rows = {
            "median_pitch": ([item.median_hz for item in own], "Hz", "median of voiced frames, mean over utterances"),
            "pitch_range": (
                [item.range_semitones for item in own],
                "semitones",
                "5th to 95th percentile of voiced frames",
            ),
            "voiced": ([100 * item.voiced_share for item in own], "%", "share of frames with pitch"),
            "pace": (
                [metrics.nuclei_per_second(clip.samples, sample_rate) for clip in group],
                "peaks/s",
                "loudness peaks per second (about one per syllable)",
            ),
        }
        if kind != "source":
            follow = [_compare(source[clip.utt_id], clip) for clip in group]
            rows |= {
                "pitch_correlation": (
                    [item.correlation for item in follow],
                    "-1 to 1",
                    "of log pitch with the source's, both voiced",
                ),
                "pitch_rmse": (
                    [item.rmse_semitones for item in follow],
                    "semitones",
                    "root mean square difference from the source's pitch, mean difference taken away",
                ),
                "voicing_error": (
                    [100 * item.voicing_error for item in follow],
                    "%",
                    "share of frames voiced in one of source and output only",
                ),
            }
        result[kind] = {
            name: _mean(values, unit, f"{what}; pitch by Praat, range found in two passes", seed)
            for name, (values, unit, what) in rows.items()
        }
    return result


def _compare(one: Clip, other: Clip) -> metrics.PitchComparison:
    a, b = one.measured, other.measured
    return metrics.compare_pitch(a["times_s"], a["f0_hz"], b["times_s"], b["f0_hz"])


def _mean(values: Sequence[float], unit: str, what: str, seed: int, **more: object) -> dict:
    values = np.asarray(values, dtype=np.float64)
    known = values[np.isfinite(values)]
    return figure(
        float(known.mean()) if len(known) else None,
        unit,
        what,
        interval_95=mean_interval(known, seed),
        utterances=len(known),
        undefined=len(values) - len(known),
        **more,
    )


def spectrum_figures(clips: Sequence[Clip], store, seed: int = 0) -> dict:
    """Mel-cepstral distortion to natural parallel speech of the wanted voice, and of reconstructions to their source."""
    rate = store.sample_rate
    source = {clip.utt_id: metrics.mel_cepstra(clip.samples, rate) for clip in clips if clip.kind == "source"}
    result: dict = {}
    rebuilt = [
        metrics.cepstral_distortion(metrics.mel_cepstra(clip.samples, rate), source[clip.utt_id])
        for clip in clips
        if clip.kind == "reconstruction"
    ]
    if rebuilt:
        what = f"mel-cepstral distortion to the source itself: {metrics.MCD_RECIPE}"
        result["reconstruction"] = {"distortion_to_source": _mean(rebuilt, "dB", what, seed)}
    converted, copied = [], []
    for index, wanted in parallel(store, clips).items():
        natural = metrics.mel_cepstra(store.waveform(wanted), rate)
        converted.append(metrics.cepstral_distortion(metrics.mel_cepstra(clips[index].samples, rate), natural))
        copied.append(metrics.cepstral_distortion(source[clips[index].utt_id], natural))
    if converted:
        what = f"mel-cepstral distortion to the wanted voice reading the same sentence: {metrics.MCD_RECIPE}"
        result["conversion"] = {"distortion_to_target": _mean(converted, "dB", what, seed)}
        result["copy"] = {"distortion_to_target": _mean(copied, "dB", f"the source left as it is; {what}", seed)}
    if not result:
        raise CorpusError(
            "distortion needs reconstructions of known speakers or parallel sentences, and there are none"
        )
    return result


def speaker_figures(clips: Sequence[Clip], store, seed: int = 0) -> dict:
    """Whose voice an identifier that knows natural speech alone hears in every kind of clip."""
    add_pitch(clips, store.sample_rate)
    judge, checks, labels = _identifier(clips, store, seed)
    natural = judge.names_of(checks)
    what = f"closed set of {len(judge.names)} voices; {speakers.RECIPE}"
    right = np.array([one == other for one, other in zip(natural, labels, strict=True)])
    result: dict = {
        "natural": {
            "named_rightly": _share(right, f"natural utterances kept aside whose speaker is named; {what}", seed),
            "equal_error": _equal_error(judge, checks, labels, what),
        }
    }
    for kind, group in by_kind([clip for clip in clips if {clip.voice, clip.speaker} <= set(judge.names)]).items():
        features = np.stack([clip_features(clip, store.sample_rate) for clip in group])
        named = judge.names_of(features)
        for clip, name in zip(group, named, strict=True):
            clip.measured["named"] = name
        target = np.array([name == clip.voice for name, clip in zip(named, group, strict=True)])
        source = np.array([name == clip.speaker for name, clip in zip(named, group, strict=True)]) & ~target
        near = [float(judge.similarities(row[None], clip.voice)[0]) for row, clip in zip(features, group, strict=True)]
        rows = {
            "named_target": _share(target, f"clips named as the wanted voice; {what}", seed),
            "named_source": _share(source, f"clips named as the source's speaker (another than wanted); {what}", seed),
            "named_other": _share(~target & ~source, f"clips named as neither; {what}", seed),
            "similarity": _mean(
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


def clip_features(clip: Clip, sample_rate: int) -> np.ndarray:
    """(D,) ``voice_features`` of a clip, once."""
    if "features" not in clip.measured:
        clip.measured["features"] = speakers.voice_features(clip.samples, sample_rate, clip.measured["f0_hz"])
    return clip.measured["features"]


def _identifier(clips: Sequence[Clip], store, seed: int) -> tuple[speakers.SpeakerIdentifier, np.ndarray, list[str]]:
    """The judge, and features and speakers of natural utterances that it never heard."""
    from vqvc.audio.pitch import f0

    used = {clip.utt_id for clip in clips}
    own = defaultdict(list)
    for item in sorted(store.utterances, key=lambda item: order_of(item.utt_id, seed)):
        if item.utt_id not in used:
            own[item.speaker].append(item)
    wanted = list(dict.fromkeys([clip.voice for clip in clips] + [clip.speaker for clip in clips]))
    most = Counter({name: len(items) for name, items in own.items()})
    names = [name for name in wanted if len(own[name]) >= 2]
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


def quality_figures(clips: Sequence[Clip], sample_rate: int, seed: int = 0) -> dict:
    """No-reference quality (DNSMOS, package speechmos), when it is installed."""
    try:
        from speechmos import dnsmos
    except (ImportError, OSError, RuntimeError):
        raise MissingExtraError("speechmos", "quality") from None
    result = {}
    for kind, group in by_kind(clips).items():
        values = [float(dnsmos.run(np.clip(clip.samples, -1, 1), sr=sample_rate)["ovrl_mos"]) for clip in group]
        result[kind] = {
            "overall": _mean(values, "1 to 5", "DNSMOS overall, predicted without a reference (speechmos)", seed)
        }
    return result


def clip_rows(clips: Sequence[Clip], sample_rate: int) -> list[dict]:
    """One row per recording for the JSON: what it is, where it lies, what was found."""
    rows = []
    for clip in clips:
        row: Mapping = {
            "kind": clip.kind, "utt_id": clip.utt_id, "speaker": clip.speaker, "voice": clip.voice, "seen_speaker": clip.seen,
            "text": clip.text, "file": clip.file, "seconds": len(clip.samples) / sample_rate,
        }  # fmt: skip
        found = {name: clip.measured.get(name) for name in ("heard", "named", "codes", "hop_length", "phones")}
        if "f0_hz" in clip.measured:
            found["median_pitch_hz"] = metrics.pitch_summary(clip.measured["f0_hz"]).median_hz
        rows.append(tidy({**row, **{key: value for key, value in found.items() if value is not None}}))
    return rows
