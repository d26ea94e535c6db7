"""The page of samples: whole in one folder, opens from disk, never too large, no name in it is markup."""

import re
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
import scripts
import soundfile
from tiny_voice import SPEAKERS, tiny_model

from vqvc.conversion import model_file

ROOT = Path(__file__).resolve().parents[2]
make_samples = scripts.load("docs/make_samples.py")


@pytest.fixture
def page(tmp_path):
    """Call with more options; gives the exit status, and the folder of the page."""
    model_file.write(tmp_path / "tiny.safetensors", tiny_model(), SPEAKERS, {})
    rng = np.random.default_rng(0)
    for name in ("a", "b c"):
        soundfile.write(tmp_path / f"{name}.wav", 0.1 * rng.standard_normal(8000), 16000)

    def call(*options: str):
        return make_samples.run(
            make_samples.make_parser,
            make_samples.work,
            [
                "--model", str(tmp_path / "tiny.safetensors"), "--clip", str(tmp_path / "a.wav"), "--clip", str(tmp_path / "b c.wav"),
                "--caption", "<b>first</b>", "--attribution", "A & B, CC BY 4.0", "--speakers", "p225,p315", "--out", str(tmp_path / "page"),
                *options,
            ],
        ), tmp_path / "page"  # fmt: skip

    return call


def test_the_page_holds_all_that_it_shows(page, capsys):
    status, folder = page()
    assert status == 0 and str(folder / "index.html") in capsys.readouterr().out
    text = (folder / "index.html").read_text()
    named = re.findall(r'src="([^"]+)"', text)
    assert len(named) == 12 and all((folder / name).stat().st_size for name in named)
    assert {path.name for path in folder.iterdir()} == {*named, "index.html"}
    assert (
        "&lt;b&gt;first&lt;/b&gt; (source)" in text
        and "A &amp; B, CC BY 4.0" in text
        and not re.search("https?:", text)
    )
    samples, rate = soundfile.read(folder / "b_c_to_p315.opus")
    assert rate == 16000 and abs(len(samples) - 8000) < 400 and np.abs(samples).max() > 0


def test_a_page_that_is_too_large_or_there_already_is_refused(page, capsys):
    status, folder = page("--most-kb", "1")
    assert status == 2 and "give fewer or shorter clips" in capsys.readouterr().err
    assert not folder.exists() and not folder.with_name("page.partial").exists()
    assert page()[0] == 0
    assert page()[0] == 2 and "give --overwrite" in capsys.readouterr().err
    assert page("--overwrite")[0] == 0


def test_a_picture_is_a_png_of_the_levels():
    levels = np.arange(12, dtype=np.uint8).reshape(3, 4)
    data = make_samples.png(levels)
    assert data[:8] == b"\x89PNG\r\n\x1a\n" and struct.unpack(">II", data[16:24]) == (4, 3)
    rows = zlib.decompress(data[data.index(b"IDAT") + 4 : data.rindex(b"IEND") - 8])
    assert [list(rows[at + 1 : at + 5]) for at in (0, 5, 10)] == (255 - levels).tolist()


def test_the_committed_pages_are_whole_and_small():
    for index in (ROOT / "docs/samples").glob("*/index.html"):
        files = [path for path in index.parent.iterdir() if path.is_file()]
        assert sum(path.stat().st_size for path in files) < 2_000_000
        assert set(re.findall(r'src="([^"]+)"', index.read_text())) == {path.name for path in files} - {"index.html"}
