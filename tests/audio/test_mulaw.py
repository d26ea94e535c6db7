"""µ-law: every class comes back as itself, silence is 128, and the tensors' twin agrees."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vqvc.audio import mulaw
from vqvc.errors import AudioError

ALL = np.arange(256)


def test_every_class_comes_back_as_itself():
    assert np.array_equal(mulaw.encode(mulaw.decode(ALL)), ALL)


def test_silence_is_class_128_and_back():
    assert mulaw.encode(np.zeros(3)).tolist() == [128, 128, 128] == [mulaw.SILENCE] * 3
    assert mulaw.decode(np.array(128)) == 0.0
    assert abs(mulaw.decode(np.array(0)) + 1) < 1e-6  # class 0 is a full-scale click, never padding


def test_classes_rise_with_the_signal_and_cover_it():
    classes = mulaw.encode(np.linspace(-1, 1, 100001))
    assert classes.dtype == np.int64 and classes[0] == 0 and classes[-1] == 255
    assert (np.diff(classes) >= 0).all() and len(np.unique(classes)) == 256


@given(st.floats(-1, 1, width=32))
def test_error_is_small_beside_the_sample(x):
    restored = float(mulaw.decode(mulaw.encode(np.array([x])))[0])
    # half a class is a factor of 256 ** (1 / 255) in (|x| + 1 / 255); the class of silence is a whole one wide
    assert abs(restored - x) <= np.expm1(np.log(256) / 255) * (abs(x) + 2 / 255)


def test_beyond_full_scale_is_limited_and_not_wrapped():
    assert mulaw.encode(np.array([-7.0, 7.0])).tolist() == [0, 255]


def test_what_has_no_class_is_refused():
    with pytest.raises(AudioError, match="non-finite at sample 1"):
        mulaw.encode(np.array([0.0, np.nan]))
    with pytest.raises(AudioError, match="classes lie in"):
        mulaw.decode(np.array([0, 256]))


def test_tensors_twin_agrees():
    torch = pytest.importorskip("torch")
    from vqvc.nn import features

    x = np.linspace(-1, 1, 20001, dtype=np.float32)
    assert (features.mulaw_encode(torch.from_numpy(x)).numpy() != mulaw.encode(x)).mean() < 1e-3  # float32 at an edge
    assert np.allclose(features.mulaw_decode(torch.arange(256)).numpy(), mulaw.decode(ALL), atol=1e-7)
