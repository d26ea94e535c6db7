"""Enrollment: a vector fitted to recordings, what is refused, the voice file, and conversion with it; from Python and as commands."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from tiny_voice import SPEAKERS, model_with_mel, tiny_model

import vqvc
from vqvc._util import tensorfile
from vqvc.audio import level
from vqvc.cli import convert, enroll
from vqvc.conversion import chunking, enrollment, model_file, suitability, voice_file
from vqvc.conversion.disclosure import CONSENT
from vqvc.conversion.enrollment import Crops
from vqvc.conversion.voice_file import EnrolledVoice
from vqvc.errors import AudioError, ModelError, UsageError
from vqvc.nn.adaptation import Adaptation
from vqvc.nn.vqvae import VQVAE

RATE = 16000


@pytest.fixture(scope="module")
def file(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("model") / "model.safetensors"
    model_file.write(path, model_with_mel(), SPEAKERS, {"steps": 0})
    return path


@pytest.fixture(scope="module")
def converter(file):
    return vqvc.load(file)


@pytest.fixture
def wav(tmp_path, speechlike) -> Path:
    soundfile.write(tmp_path / "me.wav", speechlike(12.0), RATE)
    return tmp_path / "me.wav"


def row_as_voice(converter, row: int, **fields) -> EnrolledVoice:
    """A speaker of the table as if it had been enrolled."""
    model = converter.model
    known = {
        "name": "me", "vector": model.conditioning.speaker.weight[row].detach().clone(),
        "global_variance": model.global_variance[row].clone(), "f0": (7.0, 0.3), "model": converter.checksum, "provenance": {},
    }  # fmt: skip
    return EnrolledVoice(**known | fields)


def crops_of(model: VQVAE, vector: torch.Tensor, count: int = 10) -> Crops:
    """Crops whose log-mel frames are just what random codes and the vector predict."""
    generator = torch.Generator().manual_seed(1)
    codes = torch.randint(len(model.quantizer.codebook), (count, 40), generator=generator)
    z_q, contour = model.quantizer.lookup(codes), torch.randn(count, 3, 40, generator=generator)
    with torch.no_grad():
        log_mel = model.predicted_mel(model.condition(z_q, vector.expand(count, -1), contour))
    samples = count, 40 * model.hop_length
    classes = torch.randint(100, 156, samples, generator=generator)
    return Crops(z_q, contour, log_mel, classes, torch.ones(log_mel.shape[:2]))


def an_adaptation(model: VQVAE, seed: int = 1) -> Adaptation:
    """One that changes every weight and bias of the conditioner's convolutions, in numbers of float16."""
    generator = torch.Generator().manual_seed(seed)
    start = Adaptation.start(model.conditioning.blocks, 2, generator)
    drawn = (0.5 * torch.randn(part.shape, generator=generator) for part in start.parts().values())
    return Adaptation(*(part.half().float() for part in drawn))


# the vector


def test_a_vector_conditions_as_the_row_of_the_table_that_it_equals():
    model = model_with_mel()
    z_q, speaker = torch.randn(2, 8, 5), torch.tensor([2, 0])
    by_index = model.condition(z_q, speaker).frames
    assert torch.equal(model.condition(z_q, model.conditioning.speaker.weight[speaker]).frames, by_index)


def test_an_adaptation_that_begins_changes_nothing_and_one_that_has_learned_does():
    model = model_with_mel()
    z_q, speaker = torch.randn(2, 8, 5), torch.tensor([2, 0])
    plain = model.condition(z_q, speaker).frames
    start = Adaptation.start(model.conditioning.blocks, 2, torch.Generator().manual_seed(0))
    assert torch.equal(model.condition(z_q, speaker, adaptation=start).frames, plain)
    assert not torch.allclose(model.condition(z_q, speaker, adaptation=an_adaptation(model)).frames, plain, atol=1e-3)


def test_the_fit_predicts_frames_of_the_voice_that_it_has_not_seen():
    model = model_with_mel()
    mean, factor = enrollment.whitening(model.conditioning.speaker.weight)
    crops = crops_of(model, mean + factor @ torch.tensor([1.0, -1.0, 0.5, 1.5]))
    vector, adaptation = enrollment.fit(model, crops[:6], ridge=0.0, mel_steps=200, likelihood_steps=0)
    with torch.no_grad():
        before = float(enrollment.mel_error(model, crops[6:], mean))
        assert float(enrollment.mel_error(model, crops[6:], vector, adaptation)) < before / 4


def test_steps_with_the_likelihood_make_the_samples_likelier():
    model = model_with_mel()
    with torch.no_grad():
        model.wavenet.out.weight.normal_(std=0.3, generator=torch.Generator().manual_seed(0))
    crops, nats = crops_of(model, model.conditioning.speaker.weight[1].detach()), []
    crops = dataclasses.replace(crops, classes=torch.full_like(crops.classes, 160))
    for likelihood_steps in (0, 60):
        vector, adaptation = enrollment.fit(model, crops, mel_steps=20, likelihood_steps=likelihood_steps)
        with torch.no_grad():
            conditioning = model.condition(crops.z_q, vector.expand(len(crops), -1), crops.f0_contour, adaptation)
            nats.append(float(model.negative_log_likelihood(crops.classes, conditioning).mean()))
    assert nats[1] < nats[0]


def test_codes_may_be_those_of_other_recordings_than_the_frames(speechlike):
    model = model_with_mel()
    samples, other = (level.normalise(speechlike(3.0, seed=n), RATE).samples[: 2 * RATE] for n in (0, 1))
    own, mixed, of_other = (
        enrollment.make_crops(model, [frames], 7.0, [codes])
        for frames, codes in ((samples, samples), (samples, other), (other, other))
    )
    assert torch.equal(mixed.z_q, of_other.z_q) and not torch.equal(mixed.z_q, own.z_q)
    for name in ("f0_contour", "log_mel", "classes", "counted"):
        assert torch.equal(getattr(mixed, name), getattr(own, name))


def test_a_stronger_ridge_stays_nearer_to_the_table():
    model = model_with_mel()
    mean, factor = enrollment.whitening(model.conditioning.speaker.weight)
    crops = crops_of(model, mean + factor @ torch.full((4,), 2.0))
    distances = []
    for ridge in (0.0, 1.0, 100.0):
        vector, _ = enrollment.fit(model, crops, ridge=ridge, mel_steps=100, likelihood_steps=0)
        distances.append(float(torch.linalg.solve(factor, vector - mean).norm()))
    assert distances[0] > distances[1] > distances[2]


def test_the_whitened_table_has_its_mean_and_nearly_its_covariance():
    table = torch.randn(500, 3, generator=torch.Generator().manual_seed(0)) * torch.tensor([1.0, 2.0, 3.0]) + 5
    mean, factor = enrollment.whitening(table)
    kept = (1 - enrollment.SHRINKAGE) * torch.cov(table.T)
    isotropic = factor @ factor.T - kept
    assert torch.allclose(mean, table.mean(0))
    assert torch.allclose(isotropic, isotropic[0, 0] * torch.eye(3), atol=1e-4) and isotropic[0, 0] > 0
    assert torch.isfinite(enrollment.whitening(table[:1])[1]).all()  # one speaker


def test_enrolling_repeats_itself_and_leaves_the_model_as_it_was(wav):
    model = model_with_mel()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    shares: list[float] = []
    first, again = (enrollment.enroll(model, [wav], "me", "0" * 64, progress=shares.append) for _ in range(2))
    assert torch.equal(first.vector, again.vector) and first.provenance == again.provenance
    for one, other in zip(first.adaptation.parts().values(), again.adaptation.parts().values()):
        assert torch.equal(one, other) and torch.equal(one, one.half().float()) and one.any()
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    assert all(parameter.grad is None for parameter in model.parameters())
    assert shares[0] == 0 and shares[-1] == 1
    assert first.provenance["recordings"] == ["me.wav"] and first.provenance["seconds"] == pytest.approx(12.6)
    assert 100 < 2 ** first.f0[0] < 180 and first.global_variance.shape == model.global_variance[0].shape


def test_recordings_of_any_length_make_crops_and_pauses_do_not_count(speechlike):
    model = model_with_mel()
    together = [level.normalise(speechlike(s, seed=n), RATE).samples for n, s in enumerate((0.3, 1.1, 4.0))]
    crops = enrollment.make_crops(model, together, 7.0)
    per_code = model.hop_length // model.config.decoder.conditioning_hop
    assert crops.log_mel.shape[:2] == crops.counted.shape == (len(crops), crops.z_q.shape[2] * per_code)
    assert len(crops) == sum(-(-len(one) // model.hop_length) for one in together) // crops.z_q.shape[2]
    quiet = np.concatenate([together[2], np.zeros(4 * RATE, np.float32)])
    assert enrollment.make_crops(model, [quiet], 7.0).counted[-2:].sum() == 0


def test_a_model_without_the_auxiliary_head_is_refused(speechlike):
    with pytest.raises(UsageError, match="log-mel head"):
        enrollment.enroll(tiny_model(), [speechlike(12.0)], "me", "0" * 64)


# what can be enrolled


def notes() -> np.ndarray:
    """Twelve seconds of a tune of plucked strings."""
    rng, time_s = np.random.default_rng(0), np.arange(6000) / RATE
    pitches_hz = 110 * 2 ** (rng.integers(0, 24, 32) / 12)
    plucked = [
        sum(np.sin(2 * np.pi * f * k * time_s) / k for k in range(1, 7)) * np.exp(-3 * time_s) for f in pitches_hz
    ]
    return (0.1 * np.concatenate(plucked)).astype(np.float32)


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda speech: np.zeros(12 * RATE, np.float32), "silence"),
        (lambda speech: speech(2.0), "too little"),
        (lambda speech: 0.05 * np.random.default_rng(0).standard_normal(12 * RATE).astype(np.float32), "noise"),
        (lambda speech: notes(), "music"),
    ],
    ids=["silence", "short", "noise", "music"],
)
def test_what_is_no_half_minute_of_speech_is_refused_in_a_sentence(converter, speechlike, make, reason):
    with pytest.raises(AudioError, match=reason):
        converter.enroll(make(speechlike))


def test_little_speech_is_enrolled_with_a_warning(speechlike):
    assert "few" in suitability.assess([speechlike(6.0)], RATE).warnings[0]
    assert suitability.assess([speechlike(14.0)], RATE).warnings == ()


def test_two_groups_of_pitch_are_two_voices_and_one_is_one():
    rng = np.random.default_rng(0)
    low, high = (rng.normal(np.log2(hz), 0.15, (20, 100)) for hz in (110, 200))
    assert suitability.two_voices(np.concatenate([low, high]).ravel(), 100) == pytest.approx(
        np.log2(200 / 110), abs=0.05
    )
    assert suitability.two_voices(low.ravel(), 100) is None
    lively = rng.normal(np.log2(150), 0.12, (40, 1)) + rng.normal(0, 0.3, (40, 100))  # one lively reader
    assert suitability.two_voices(lively.ravel(), 100) is None
    assert suitability.two_voices(low.ravel()[:150], 100) is None  # too short to tell


# the voice file


def test_a_voice_file_holds_what_was_saved(converter, tmp_path):
    adaptation = an_adaptation(converter.model)
    voice = row_as_voice(converter, 1, provenance={"recordings": ["ä.wav"], "warnings": []}, adaptation=adaptation)
    voice.save(tmp_path / "me.voice")
    read = converter.read_voice(tmp_path / "me.voice")
    for name, part in adaptation.parts().items():
        assert torch.equal(read.adaptation.parts()[name], part)
    assert torch.equal(read.vector, voice.vector) and torch.equal(read.global_variance, voice.global_variance)
    assert (read.name, read.f0, read.model, read.provenance) == (
        "me",
        pytest.approx(voice.f0),
        voice.model,
        voice.provenance,
    )


def test_a_voice_of_another_model_is_refused(converter, tmp_path, speechlike):
    voice = row_as_voice(converter, 1, model="0" * 64)
    voice.save(tmp_path / "me.voice")
    for use in (
        lambda: converter.read_voice(tmp_path / "me.voice"),
        lambda: converter.convert(speechlike(0.3), voice=voice),
    ):
        with pytest.raises(ModelError, match="another model"):
            use()


def test_a_voice_file_of_version_1_is_read(converter, tmp_path, speechlike):
    voice, path = row_as_voice(converter, 1), tmp_path / "me.voice"
    tensors = {"vector": voice.vector, "global_variance": voice.global_variance, "f0": torch.tensor(voice.f0)}
    text = {"model": voice.model, "name": "me", "provenance": "{}"}
    tensorfile.write(path, dataclasses.replace(voice_file.KIND, version=1), tensors, text)
    assert voice_file.read(path).adaptation is None
    speech = speechlike(0.3)
    assert np.array_equal(converter.convert(speech, voice=path), converter.convert(speech, "p226"))


def test_a_voice_that_adapts_other_layers_is_refused(converter, tmp_path, speechlike):
    parts = an_adaptation(converter.model).parts()
    for name, wrong in (
        ("up", parts["up"][:, 1:]),
        ("down", parts["down"][..., 1:]),
        ("offset", parts["offset"][None]),
    ):
        voice = row_as_voice(converter, 1, adaptation=Adaptation(**parts | {name: wrong}))
        voice.save(tmp_path / "me.voice")
        for use in (voice, tmp_path / "me.voice"):
            with pytest.raises(ModelError, match="layers"):
                converter.convert(speechlike(0.3), voice=use)


@pytest.mark.parametrize("damage", ["cut", "changed", "pickle", "model", "absent"])
def test_what_is_no_voice_file_is_refused_in_a_sentence(converter, file, tmp_path, damage):
    path = tmp_path / "me.voice"
    if damage != "absent":
        row_as_voice(converter, 1).save(path)
    whole = path.read_bytes() if path.exists() else b""
    if damage == "cut":
        path.write_bytes(whole[:-3])
    elif damage == "changed":
        path.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    elif damage == "pickle":
        path.write_bytes(b"\x80\x04" + whole)
    elif damage == "model":
        path = file
    with pytest.raises(ModelError, match=str(path)):
        voice_file.read(path)


def test_a_vector_of_another_size_is_refused(converter, speechlike):
    voice = row_as_voice(converter, 1, vector=torch.zeros(5))
    with pytest.raises(ModelError, match="numbers"):
        converter.convert(speechlike(0.3), voice=voice)


@pytest.mark.parametrize("name", ["", " me", "a\nb", "x" * 101])
def test_a_name_that_files_cannot_carry_is_refused(converter, name):
    with pytest.raises(UsageError, match="name"):
        row_as_voice(converter, 0, name=name)


# conversion


def test_a_row_as_an_enrolled_voice_converts_as_the_row(converter, tmp_path, speechlike, monkeypatch):
    voice, speech = row_as_voice(converter, 1), speechlike(0.4)
    by_name = converter.convert(speech, "p226")
    assert np.array_equal(converter.convert(speech, voice=voice), by_name)
    voice.save(tmp_path / "me.voice")
    assert np.array_equal(converter.convert(speech, voice=tmp_path / "me.voice"), by_name)
    codes = converter.encode(speech)
    assert np.array_equal(converter.decode(codes, voice), converter.decode(codes, "p226"))
    soundfile.write(tmp_path / "a.wav", speech, RATE)
    monkeypatch.setattr(chunking, "LONG_S", 0.2)
    in_pieces, wanted = (converter.convert(tmp_path / "a.wav", one) for one in (voice, "p226"))
    assert np.array_equal(in_pieces, wanted)


def test_an_adaptation_works_wherever_a_voice_does(converter, tmp_path, speechlike, monkeypatch):
    voice, speech = row_as_voice(converter, 1, adaptation=an_adaptation(converter.model)), speechlike(0.4)
    wanted = converter.convert(speech, voice=voice)
    assert not np.allclose(wanted, converter.convert(speech, "p226"), atol=1e-3)
    voice.save(tmp_path / "me.voice")
    assert np.array_equal(converter.convert(speech, voice=tmp_path / "me.voice"), wanted)
    codes = converter.encode(speech)
    assert not np.array_equal(converter.decode(codes, voice), converter.decode(codes, "p226"))
    soundfile.write(tmp_path / "a.wav", speech, RATE, subtype="FLOAT")
    monkeypatch.setattr(chunking, "LONG_S", 0.2)
    assert np.allclose(converter.convert(tmp_path / "a.wav", voice=voice), wanted, atol=1e-4)


def test_a_conversion_has_one_target(converter, speechlike):
    for wrong in ({}, {"speaker": "p226", "voice": row_as_voice(converter, 1)}):
        with pytest.raises(UsageError, match="either"):
            converter.convert(speechlike(0.3), **wrong)


def test_python_enrolls_from_a_path_or_from_samples(converter, wav):
    by_path = converter.enroll(wav, name="me")
    by_samples = converter.enroll([soundfile.read(wav, dtype="float32")[0]], name="me")
    assert torch.equal(by_path.vector, by_samples.vector)
    assert by_path.provenance["recordings"] == ["me.wav"] and by_path.model == converter.checksum
    assert np.isfinite(converter.convert(wav, voice=by_path)).all()


# the commands


@pytest.fixture
def run(file, tmp_path, monkeypatch, call_command):
    """run(command, *arguments) -> (exit status, stdout, stderr), in an empty folder."""
    folder = tmp_path / "here"
    folder.mkdir()
    monkeypatch.chdir(folder)

    return lambda command, *arguments, model=file: call_command(command, model, *arguments)


def test_enroll_with_the_fewest_words_and_convert_to_the_voice(run, wav, converter, speechlike, caplog):
    caplog.set_level("INFO", "vqvc")
    status, out, err = run(enroll, "--src", wav)
    assert (status, out) == (0, "me.voice\n") and CONSENT in err
    soundfile.write("a.wav", speechlike(0.4), RATE)
    status, out, _ = run(convert, "--src", "a.wav", "--voice", "me.voice", "--subtype", "float")
    assert (status, out) == (0, "a_me.wav\n")
    wanted = converter.convert("a.wav", voice="me.voice")
    assert np.allclose(soundfile.read("a_me.wav", dtype="float32")[0], wanted, atol=1e-6)


def test_the_name_of_a_voice_does_not_choose_a_folder(run, wav):
    status, out, err = run(enroll, "--src", wav, "--name", "../a/b c")
    assert (status, out) == (0, ".._a_b c.voice\n"), err
    assert voice_file.read(".._a_b c.voice").name == "../a/b c"


def test_enroll_takes_several_files_and_folders_each_file_once(run, tmp_path, speechlike):
    more = tmp_path / "more"
    more.mkdir()
    for n in range(2):
        soundfile.write(more / f"{n}.wav", speechlike(7.0, seed=n), RATE)
    status, out, err = run(enroll, "--src", more / "0.wav", "--src", more, "--name", "we two", "--out", "voices/")
    assert (status, out.strip()) == (0, str(Path("voices", "we two.voice"))), err
    assert voice_file.read(out.strip()).provenance["recordings"] == ["0.wav", "1.wav"]


def test_enroll_replaces_nothing_unasked(run, wav):
    Path("me.voice").write_text("mine")
    status, _, err = run(enroll, "--src", wav)
    assert status == 2 and "--overwrite" in err and Path("me.voice").read_text() == "mine"
    assert run(enroll, "--src", wav, "--overwrite")[0] == 0


def test_enroll_refuses_in_one_sentence_and_writes_nothing(run, tmp_path):
    soundfile.write(tmp_path / "quiet.wav", np.zeros(12 * RATE), RATE)
    for arguments, status, reason in (
        ((), 2, "no recordings"),
        (("--src", tmp_path / "none.wav"), 1, "no such file"),
        (("--src", tmp_path / "quiet.wav"), 1, "quiet.wav: digital silence"),
        (("--src", tmp_path / "quiet.wav", "--name", "a\nb"), 2, "name"),
    ):
        found, out, err = run(enroll, *arguments)
        assert (found, out) == (status, "") and reason in err
    assert not list(Path().iterdir())


def test_convert_refuses_a_voice_beside_a_speaker_and_one_of_another_model(run, wav, converter, tmp_path):
    row_as_voice(converter, 1).save("me.voice")
    status, _, err = run(convert, "--src", wav, "--voice", "me.voice", "--speaker", "p226")
    assert status == 2 and "--voice" in err
    other = tmp_path / "other.safetensors"
    model_file.write(other, model_with_mel(seed=1), SPEAKERS, {"steps": 0})
    status, out, err = run(convert, "--src", wav, "--voice", "me.voice", model=other)
    assert (status, out) == (1, "") and "another model" in err and "other.safetensors" in err


def test_help_says_whose_voices_may_be_enrolled():
    assert "owners agree" in " ".join(enroll.make_parser().format_help().split())


def test_conversions_of_a_folder_are_made_again_when_the_voice_is_another(run, converter, tmp_path, speechlike):
    folder = tmp_path / "recordings"
    folder.mkdir()
    for name in "ab":
        soundfile.write(folder / f"{name}.wav", speechlike(0.3), RATE)
    row_as_voice(converter, 1).save("me.voice")
    assert run(convert, "--src", folder, "--voice", "me.voice", "--out", "out")[0] == 0
    assert run(convert, "--src", folder, "--voice", "me.voice", "--out", "out")[:2] == (0, "")  # nothing is left to do
    row_as_voice(converter, 2).save("me.voice")
    status, _, err = run(convert, "--src", folder, "--voice", "me.voice", "--out", "out")
    assert status == 2 and "--overwrite" in err


def test_the_model_card_says_whose_voices_may_be_enrolled():
    card = Path(vqvc.__file__).parent / "models/README.md"
    assert CONSENT in " ".join(card.read_text(encoding="utf-8").split())
