"""Conditioning: repeated codes, a reach that it admits to, and the speaker in every frame."""

import torch

from vqvc.nn.conditioning import Conditioner


def _conditioning(layers=2, repeat=3) -> Conditioner:
    torch.manual_seed(0)
    return Conditioner(codebook_dim=4, speakers=3, speaker_dim=2, channels=5, layers=layers, repeat=repeat)


def test_a_code_reaches_its_own_frames_and_as_far_around_as_stated():
    conditioning, i = _conditioning(), 10
    z_q = torch.randn(1, 4, 21).requires_grad_()
    for frame in (3 * i, 3 * i + 2):
        grad = torch.autograd.grad(conditioning(z_q, torch.tensor([1]))[0, frame].sum(), z_q)[0]
        codes = grad.abs().sum((0, 1)).nonzero()[:, 0]
        assert int(codes.min()) == (frame - conditioning.context_frames) // 3
        assert int(codes.max()) == (frame + conditioning.context_frames) // 3


def test_without_smoothing_codes_are_only_repeated():
    frames = _conditioning(layers=0)(torch.randn(2, 4, 6), torch.tensor([0, 2]))
    assert frames.shape == (2, 18, 5)
    assert torch.equal(frames[:, 0::3], frames[:, 2::3])


def test_every_frame_depends_on_the_speaker_and_no_sequence_on_another():
    conditioning, z_q = _conditioning(), torch.randn(2, 4, 6)
    one, other = conditioning(z_q, torch.tensor([0, 1])), conditioning(z_q, torch.tensor([0, 2]))
    assert torch.equal(one[0], other[0])
    assert ((one[1] - other[1]).abs().sum(-1) > 0).all()
