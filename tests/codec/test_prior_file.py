"""The prior's file: what is written is read, what is damaged or foreign is refused."""

import numpy as np
import pytest
import torch
from tiny_prior import MODEL, random_prior, write_prior

from vqvc.codec import prior_file
from vqvc.errors import ModelError, UsageError


@pytest.fixture
def written(tmp_path):
    path = tmp_path / "prior.safetensors"
    return path, write_prior(path, random_prior())


def test_what_is_read_is_what_was_written(written):
    path, checksum = written
    found, codes = prior_file.read(path), torch.tensor([[1, 2, 3, 4]])
    with torch.inference_mode():
        assert torch.equal(found.model(codes, torch.tensor([1])), random_prior()(codes, torch.tensor([1])))
    assert found.checksum == checksum and found.coder.model == MODEL and found.coder.prior is found.integers
    assert [found.speaker_index(name) for name in ("p1", "p2", "p9")] == [1, 2, 0]
    assert np.abs(found.integers.tanh[-1]) == 1 << 14


def test_every_flipped_byte_is_noticed(written):
    path, _ = written
    whole = path.read_bytes()
    for at in range(0, len(whole), 1499):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
        with pytest.raises(ModelError, match="prior.safetensors"):
            prior_file.read(path)


@pytest.mark.parametrize("kept", [0, 7, 300, -1, -5000])
def test_a_cut_file_is_refused(written, kept):
    path, _ = written
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(ModelError, match="prior.safetensors"):
        prior_file.read(path)


def test_another_file_or_another_model_is_named(written, model_file):
    with pytest.raises(ModelError, match="is not a prior; vqvc-prior writes prior.safetensors"):
        prior_file.read(model_file)
    with pytest.raises(ModelError, match="no such file; train a prior with vqvc-prior"):
        prior_file.read(model_file.parent / "none")
    found = prior_file.read(written[0])
    found.require(MODEL, "model.safetensors")
    with pytest.raises(UsageError, match="was trained on the codes of another model than m.safetensors"):
        found.require("00", "m.safetensors")
