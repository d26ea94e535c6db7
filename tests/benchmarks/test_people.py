"""benchmarks/people.py puts prompts of a package together to recordings of a person."""

import numpy as np
import pytest
import scripts
import soundfile

from vqvc.errors import AudioError

RATE = 16000


@pytest.fixture(scope="module")
def people():
    return scripts.load("benchmarks/people.py")


def write_g722(path, samples) -> None:
    """A file of G.722 without a header, as Asterisk's packages hold."""
    av = pytest.importorskip("av")
    with av.open(str(path), "w", format="g722") as container:
        stream = container.add_stream("g722", rate=RATE)
        stream.layout = "mono"
        frame = av.AudioFrame.from_ndarray((samples[None] * 32767).astype(np.int16), format="s16", layout="mono")
        frame.sample_rate = RATE
        container.mux([*stream.encode(frame), *stream.encode(None)])


def test_prompts_in_g722_are_decoded_with_what_lies_above_4_khz(people, tmp_path):
    time = np.arange(RATE) / RATE
    samples = 0.2 * np.sin(2 * np.pi * 440 * time) + 0.2 * np.sin(2 * np.pi * 6000 * time)
    write_g722(tmp_path / "a.g722", samples)
    decoded, rate = people.decode(tmp_path / "a.g722")
    spectrum = np.abs(np.fft.rfft(decoded[2000:10000] * np.hanning(8000)))
    assert rate == RATE and abs(len(decoded) - RATE) < 100 and decoded.dtype == np.float32
    assert set(np.argsort(spectrum)[-2:]) == {220, 3000}  # 2 Hz a bin


def test_short_prompts_are_left_out_and_the_rest_is_put_together(people, tmp_path):
    for n, seconds in enumerate((3, 1, 4, 2.9, 3.5, 8, 3)):
        soundfile.write(tmp_path / f"{n}.wav", np.full(round(seconds * RATE), n / 100), RATE, "FLOAT")
    paths = sorted(tmp_path.iterdir())
    found = [samples for samples, _ in people.recordings(paths, seconds=1000)]
    assert [len(one) / RATE for one in found] == [10.5, 8]  # what is left over at the end is too short
    assert [sorted(set((100 * one).round().astype(int))) for one in found] == [[0, 2, 4], [5]]
    assert len(list(people.recordings(paths, seconds=5))) == 1


def test_a_package_that_is_not_there_is_named(people, tmp_path):
    args = people.make_parser().parse_args(["--packages", str(tmp_path), "--out", str(tmp_path / "out")])
    with pytest.raises(AudioError, match=r"unpack asterisk-core-sounds-en-g722 there"):
        people.work(args)
    assert not (tmp_path / "out").exists()
