"""FAULTS rows 31 and 40: stages killed at random moments and run again; benchmarks/kills.py does it many times, for more stages."""

import sys
from pathlib import Path

import pytest
import yaml
from tiny_training import tiny_config, tiny_store

from vqvc.cli import prepare

KILLS = 3
pytestmark = pytest.mark.slow  # in processes that benchmarks/kills.py starts


@pytest.fixture
def kills(monkeypatch):
    monkeypatch.syspath_prepend(str(Path(__file__).resolve().parents[2] / "benchmarks"))
    import kills

    yield kills
    sys.modules.pop("kills")


def _all_end_alike(found) -> bool:
    assert [outcome.wrong for outcome in found] == [[]] * KILLS
    return all(outcome.killed_s is not None for outcome in found)


@pytest.mark.timeout(900)
def test_row_31_training_killed_at_random_moments_ends_bit_for_bit_as_uninterrupted(kills, tmp_path):
    store, settings = tiny_store(tmp_path / "dump"), tmp_path / "tiny.yaml"
    often = {"steps": 12, "checkpoint_minutes": 0.0, "decoder_warmup_fraction": 0.25, "optimizer": "muon_all"}
    settings.write_text(
        yaml.safe_dump(tiny_config(training=often | {"quantizer_start_step": 3}, decoder={"f0": True}).to_dict())
    )
    assert _all_end_alike(kills.trials(kills.training(store.path, settings), tmp_path / "whole", KILLS, 1, tmp_path))


@pytest.mark.timeout(900)
def test_row_40_packing_killed_at_random_moments_ends_byte_for_byte_as_uninterrupted(kills, tmp_path, vctk_layout):
    corpus = vctk_layout("0.80", {f"p{n}": 6 for n in range(225, 231)})
    assert prepare.main(["--source", str(corpus), "--out", str(tmp_path / "data")]) == 0
    assert _all_end_alike(kills.trials(kills.packing(tmp_path / "data"), tmp_path / "whole", KILLS, 1, tmp_path))
