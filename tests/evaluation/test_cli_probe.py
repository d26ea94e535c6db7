"""vqvc-probe from codes and alignment to figures, on the toy corpus whose codes know the vowel."""

import json

import numpy as np
import pytest

from vqvc.cli import probe


@pytest.fixture(scope="module")
def out(toy):
    folder = toy.exp / "probe"
    status = probe.main(
        [*map(str, ("--codes", toy.codes, "--align", toy.align, "--store", toy.store, "--out", folder))]
    )
    assert status == 0
    return folder


def test_codes_that_know_the_phone_score_and_the_baselines_lie_where_they_should(out):
    result = json.loads((out / "probe.json").read_text())
    assert set(result["figures"]) == {"test", "dev"}
    for kinds in result["figures"].values():
        for kind in ("without_silence", "with_silence"):
            rows = kinds[kind]
            assert rows["codes"]["value"] == 100
            assert rows["kmeans"]["value"] > 60
            assert rows["random"]["value"] < 40
            assert rows["constant"]["value"] < 40
            assert rows["codes_minus_kmeans"]["value"] == pytest.approx(100 - rows["kmeans"]["value"], abs=1e-3)
            for row in rows.values():
                low, high = row["interval_95"]
                assert low <= row["value"] + 1e-4 and row["value"] <= high + 1e-4 and row["definition"]
        assert kinds["with_silence"]["codes"]["frames"] > kinds["without_silence"]["codes"]["frames"]
    assert result["about_the_codes"]["codes_used"]["value"] <= 16
    assert (out / "heatmap.png").read_bytes().startswith(b"\x89PNG")
    assert np.load(out / "joint_counts.npy").shape == (16, 41)


def test_same_seed_same_bytes_and_nothing_is_overwritten(out, toy, tmp_path, capsys):
    args = [*map(str, ("--codes", toy.codes, "--align", toy.align, "--store", toy.store, "--no-picture"))]
    assert probe.main([*args, "--out", str(tmp_path)]) == 0
    assert (tmp_path / "probe.json").read_bytes() == (out / "probe.json").read_bytes()
    assert "k-means on MFCC" in capsys.readouterr().out
    assert probe.main([*args, "--out", str(tmp_path)]) == 2
    assert "--overwrite" in capsys.readouterr().err


def test_k_means_does_not_depend_on_the_codes(toy):
    from vqvc.corpus.store import PackedStore
    from vqvc.evaluation import baselines

    store = PackedStore(toy.store)
    rows = baselines.centre_mfcc(store.waveform(store.utterances[0]), 16000, 640)
    assert rows.shape == (-(-store.utterances[0].length_samples // 640), 39)
    fine = baselines.centre_mfcc(store.waveform(store.utterances[0]), 16000, 160)
    assert np.allclose(rows[1], (fine[5] + fine[6]) / 2, atol=1e-4)  # a 40 ms code is centred between two 10 ms frames


def test_steady_slope_is_its_own_difference():
    from vqvc.audio.features import deltas

    assert np.allclose(deltas(np.arange(20.0)[None])[0, 4:-4], 1)
