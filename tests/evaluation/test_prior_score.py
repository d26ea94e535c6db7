"""Scores of a prior: sums that can be worked out otherwise, files that decode, phones that are counted."""

import math

import numpy as np
import pytest
import torch
from tiny_prior import HOP, MODEL, SIZE, random_prior, tiny_archive, write_prior

from vqvc.codec import prior_file
from vqvc.errors import CorpusError
from vqvc.evaluation import phone_statistics, prior_score
from vqvc.evaluation.probe import LabelledCodes


@pytest.fixture(scope="module")
def package(tmp_path_factory):
    path = tmp_path_factory.mktemp("prior") / "prior.safetensors"
    write_prior(path, random_prior())
    return prior_file.read(path)


@pytest.fixture(scope="module")
def result(package):
    return prior_score.score(tiny_archive(), package, decoder_bits=3.5)


def test_bits_are_sums_over_the_set(result, package):
    archive = tiny_archive()
    for name, speakers in (("dev", 2), ("test", 1)):
        found, codes = result["sets"][name], [archive.codes_of(u) for u in archive.subset(name)]
        count = sum(map(len, codes))
        assert (found["codes"], found["speakers"], found["utterances"]) == (count, speakers, 10)
        with torch.inference_mode():
            nats = sum(
                float(package.model.nll(torch.from_numpy(c)[None], torch.tensor([0])).double().sum()) for c in codes
            )
        assert found["bits_per_code"]["uniform"] == math.log2(SIZE)
        assert found["bits_per_code"]["prior"] == pytest.approx(nats / math.log(2) / count)
        assert found["bits_per_second"]["prior"] == pytest.approx(found["bits_per_code"]["prior"] * 250)
        assert ("prior, with the speaker" in found["bits_per_code"]) == (name == "dev")  # nobody knows the test speaker
        assert found["files"]["decoded_equal"] == "5 of 5"
        assert abs(found["files"]["payload_over_cross_entropy_percent"]) < 8  # a byte more in 20


def test_bits_with_the_speaker_are_per_code_of_known_speakers(package):
    archive = tiny_archive()
    dev = np.flatnonzero(archive.subsets == "dev")
    known = archive.speakers[dev[-1]]
    object.__setattr__(archive, "speakers", np.where(archive.speakers == known, archive.speakers, "stranger"))
    own = [archive.codes_of(utt_id) for utt_id in archive.subset("dev") if archive.speaker_of(utt_id) == known]
    assert 0 < len(own) < len(dev)
    index = torch.tensor([package.speaker_index(str(known))])
    with torch.inference_mode():
        nats = sum(float(package.model.nll(torch.from_numpy(c)[None], index).double().sum()) for c in own)
    bits = prior_score.score(archive, package)["sets"]["dev"]["bits_per_code"]
    assert bits["prior, with the speaker"] == pytest.approx(nats / math.log(2) / sum(map(len, own)))


def test_the_bound_states_and_adds_its_terms(result):
    bound = result["bound"]
    bits = result["sets"]["dev"]["bits_per_code"]
    assert bound["prior_bits_per_sample"]["prior"] == pytest.approx(bits["prior"] / HOP)
    assert bound["bits_per_sample"] == {name: pytest.approx(3.5 + value / HOP) for name, value in bits.items()}
    text = prior_score.table(result)
    assert "decoder 3.5000 bits per sample" in text and "unseen speakers and sentences" in text


def test_nothing_held_out_is_an_error(package):
    archive = tiny_archive()
    object.__setattr__(archive, "subsets", np.full(len(archive), "train"))
    with pytest.raises(CorpusError, match="no utterance in dev or test"):
        prior_score.score(archive, package)


def test_phone_runs_by_hand():
    labels = np.array([1, 1, 2, 2, 1, 2, 3, 3, 3, 1])
    assert phone_statistics.phone_runs(labels, 75, 0.04).tolist() == [1, 2, 3, 1]
    assert phone_statistics.phone_runs(labels, 25, 0.04).tolist() == [1, 2, 1, 2, 3, 1]
    assert phone_statistics.phone_runs(labels[:0], 25).tolist() == []


def test_shuffled_codes_stand_for_less_likely_phones_than_ordered_ones():
    """A language of three phones that follow each other in a cycle, each two codes long; codes = phones."""
    rng = np.random.default_rng(0)

    def utterance() -> np.ndarray:
        return np.repeat((np.arange(30) + rng.integers(3)) % 3, 2)

    codes = [utterance() for _ in range(40)]
    train = LabelledCodes(
        codes=np.concatenate(codes), labels=np.concatenate(codes), offsets=np.arange(41) * 60,
        utt_ids=tuple(map(str, range(40))), speakers=("p1",) * 40, codebook_size=3,
    )  # fmt: skip
    drawn = {"drawn": [utterance() for _ in range(10)]}
    found = phone_statistics.compare(train, [utterance() for _ in range(10)], drawn, 3, 25.0)["sets"]
    for key in ("bits_per_phone_as_read", "bits_per_phone_as_aligned"):
        bits = {name: row[key] for name, row in found.items()}
        assert bits["real codes"] < 0.3 and abs(bits["drawn"] - bits["real codes"]) < 0.1
        assert bits["real codes, shuffled"] > 1


def test_codes_of_the_archive_are_those_of_the_prior(package):
    assert package.codes_of_model == MODEL == tiny_archive().model
