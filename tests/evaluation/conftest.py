"""A toy corpus: eight speakers of five vowels, with exact phone times, codes that know the vowel, and a converter."""

import functools
import hashlib
import json
import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

RATE, HOP, K = 16000, 640, 16
VOWELS = {"aa": (700, 1100), "iy": (300, 2300), "uw": (320, 800), "eh": (550, 1800), "s": None}
PITCH_HZ = {"p1": 95, "p2": 115, "p3": 135, "p4": 160, "p5": 185, "p6": 215, "p7": 105, "p8": 200}
UNSEEN = ("p7", "p8")


def synthesize(phones, speaker, seed):
    """(samples float32, segments as (start_s, duration_s, phone)): 120 ms for each phone, silence around."""
    samples, segments = _synthesized(tuple(phones), speaker, seed)
    return samples.copy(), list(segments)


@functools.cache
def _synthesized(phones, speaker, seed):
    rng = np.random.default_rng(seed)
    step, pieces, segments = int(0.12 * RATE), [], []
    pitch = PITCH_HZ[speaker]
    size = 1 + 0.06 * (int(speaker[1:]) % 4)
    for phone in ["pau", *phones, "pau"]:
        time = np.arange(step) / RATE
        if phone == "pau":
            piece = np.zeros(step)
        elif VOWELS[phone] is None:
            piece = np.diff(rng.normal(0, 0.05, step + 1))
        else:
            partials = np.arange(1, int(7000 / pitch)) * pitch
            loud = sum(1 / (1 + ((partials - size * formant) / 90) ** 2) for formant in VOWELS[phone])
            drift = 1 + 0.03 * np.sin(2 * np.pi * (len(pieces) * 0.12 + time) * 1.5)
            phase = 2 * np.pi * np.cumsum(drift) / RATE
            piece = 0.05 * (loud[:, None] * np.sin(partials[:, None] * phase)).sum(axis=0)
        segments.append((round(0.12 * len(pieces), 3), 0.12, phone))
        pieces.append(piece)
    samples = np.concatenate(pieces) + rng.normal(0, 1e-4, step * len(pieces))
    return samples.astype(np.float32), segments


class Toy:
    """What ``vqvc.load`` gives, without a model: knows a recording's phones by its bytes and synthesizes them as another speaker."""

    sample_rate, checksum = RATE, "abc"
    speakers = [name for name in PITCH_HZ if name not in UNSEEN]

    def __init__(self, known: dict):
        self.known = known  # samples as bytes -> phones

    def convert(self, sources, speakers, **_):
        return [synthesize(self.known[samples.tobytes()], speaker, 5)[0] for samples, speaker in zip(sources, speakers)]


@dataclass(frozen=True)
class ToyRun:
    store: Path
    codes: Path
    align: Path
    exp: Path
    converter: Toy


@pytest.fixture(scope="module")
def toy(made_toy, tmp_path_factory) -> ToyRun:
    """The run, copied for one module: what its tests write there is in nobody's way."""
    root = tmp_path_factory.mktemp("toy")
    shutil.copytree(made_toy[0], root, dirs_exist_ok=True)
    exp = root / "exp" / "<b>tag"
    return ToyRun(root / "dump", exp / "codes.npz", root / "align" / "phones.ctm", exp, made_toy[1])


@pytest.fixture(scope="session")
def made_toy(tmp_path_factory) -> tuple[Path, Toy]:
    """The folder of the run and its converter."""
    root = tmp_path_factory.mktemp("made_toy")
    dump, align, exp = root / "dump", root / "align", root / "exp" / "<b>tag"
    for folder in (dump, align, exp):
        folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    sentences = [[str(name) for name in rng.choice(list(VOWELS), 9)] for _ in range(10)]
    audio, lines, ctm, archive, known = [], [], [], [], {}
    for speaker in PITCH_HZ:
        for number, phones in enumerate(sentences):
            subset = "test" if speaker in UNSEEN else "dev" if number >= 7 else "train"
            if subset == "test" and number < 6:
                continue
            utt_id, offset = f"{speaker}_{number:03d}", sum(map(len, audio))
            samples, segments = synthesize(phones, speaker, seed=100 * number + int(speaker[1:]))
            audio.append(np.round(samples * 32768).clip(-32768, 32767).astype("<i2"))
            known[(audio[-1].astype(np.float32) / np.float32(32768)).tobytes()] = phones
            text = ["see the cat", "a <b>bold</b> & 'quoted' word", "go home now"][number % 3]
            lines.append((utt_id, speaker, subset, offset, len(samples), 0, "0.0", text))
            ctm += [f"{utt_id} {start:.3f} {duration:.3f} {phone}" for start, duration, phone in segments]
            count = -(-len(samples) // HOP)
            centres = ((np.arange(count) + 0.5) * HOP / RATE / 0.12).astype(int)
            names = [segments[min(index, len(segments) - 1)][2] for index in centres]
            codes = [3 * list(VOWELS).index(name) + rng.integers(3) if name != "pau" else 15 for name in names]
            archive.append((utt_id, speaker, subset, len(samples), np.array(codes)))
    whole = np.concatenate(audio)
    whole.tofile(dump / "audio.s16")
    head = "utt_id speaker subset offset_samples length_samples trim_start_samples gain_db text".split()
    rows = ["\t".join(map(str, line)) for line in lines]
    (dump / "utts.tsv").write_text("\n".join(["\t".join(head), *rows]) + "\n")
    people = [f"{name}\t{'f' if int(name[1:]) % 2 else 'm'}\t" for name in PITCH_HZ]
    (dump / "speakers.tsv").write_text("\n".join(["speaker\tgender\taccent", *people]) + "\n")
    facts = {"format_version": 1, "sample_rate": RATE, "level_rms": 0.06, "total_samples": len(whole)}
    facts["sha256"] = hashlib.sha256(whole.tobytes()).hexdigest()
    (dump / "store.json").write_text(json.dumps(facts))
    (align / "phones.ctm").write_text("\n".join(ctm) + "\n")
    from vqvc.corpus.codes import CodeArchive

    CodeArchive.build(archive, hop_length=HOP, sample_rate=RATE, codebook_size=K, model="abc").save(exp / "codes.npz")
    events = [
        {"event": "train", "step": n, "minutes": n / 10, "loss_bits": 5 - n / 20, "perplexity": 9 + n}
        for n in range(20)
    ]
    events += [
        {
            "event": "valid",
            "step": n,
            "minutes": n / 10,
            "bits_per_sample": 5 - n / 25,
            "bits_shuffled_codes": 5.5,
            "usage": 0.9,
        }
        for n in (5, 9, 19)
    ]
    (exp / "log.jsonl").write_text(
        "\n".join(map(json.dumps, events)) + '\n{"event": "train", "st'
    )  # killed while writing
    (exp / "config.yaml").write_text("audio:\n  sample_rate: 16000  # <script>alert(1)</script>\n")
    return root, Toy(known)
