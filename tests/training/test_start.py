"""Training that begins from a trained model: on the same speakers, and on new ones."""

import pytest
import torch
from tiny_training import tiny_config, trainer

from vqvc.errors import ConfigError, ModelError
from vqvc.nn.builder import build_model
from vqvc.training.initialization import Initialization, require_same_model
from vqvc.training.objective import Phase

CONFIG = tiny_config(decoder={"f0": True}, training={"quantizer_start_step": 3, "decoder_warmup_fraction": 0.5})


def _model(speakers, config=CONFIG):
    torch.manual_seed(7)
    model = build_model(config.model, speakers)
    if config.decoder.f0:
        model.f0_conditioner.f0_sums += 1 + torch.arange(speakers)[:, None]
    model.global_variance += 1 + torch.arange(speakers)[:, None]
    return model.eval()


@pytest.mark.parametrize(
    ("encoder", "message"),
    [
        ({"strides": [16, 1]}, r"encoder\.strides: must be at least 2"),
        ({"context_kernel": 2, "context_dilations": [2]}, r"encoder\.context_kernel: must be odd"),
    ],
)
def test_a_model_whose_file_could_not_be_read_is_not_trained(store, tmp_path, encoder, message):
    with pytest.raises(ConfigError, match=message):
        trainer(tiny_config(encoder=encoder), store, tmp_path / "run")


def test_weights_are_taken_and_speakers_follow_their_names(store, tmp_path):
    old = _model(2)
    begun = trainer(
        CONFIG, store, tmp_path / "run", start=Initialization(old, ("p2", "p0"), tmp_path / "old")
    )  # p1 is new
    for found in (begun.task.model, begun.task.average.module):
        ours, theirs = found.state_dict(), old.state_dict()
        rows, before = (state.pop("conditioning.speaker.weight") for state in (ours, theirs))
        f0, f0_before = (state.pop("f0_conditioner.f0_sums") for state in (ours, theirs))
        assert torch.equal(rows[0], before[1]) and torch.equal(rows[2], before[0])
        assert torch.allclose(rows[1], before.mean(0))
        assert torch.equal(f0[0], f0_before[1]) and (f0[1] == 0).all()
        assert (ours.pop("global_variance")[:, 0] == torch.tensor([2.0, 1.5, 1.0])).all() and theirs.pop(
            "global_variance"
        ).any()
        assert all(torch.equal(ours[name], theirs[name]) for name in theirs)


def test_the_codebook_is_kept_and_the_wavenet_learns_at_once(store, tmp_path, monkeypatch):
    begun = trainer(
        CONFIG, store, tmp_path / "run", start=Initialization(_model(3), ("p0", "p1", "p2"), tmp_path / "old")
    )
    asked, step = [], begun.task.step._learn
    monkeypatch.setattr(
        begun.task.step, "_learn", lambda *batch: (asked.append(begun.task.step._phase), step(*batch))[1]
    )
    monkeypatch.setattr(begun.task, "start_codebook", lambda: pytest.fail("the codebook was started again"))
    begun.run()
    assert asked == [Phase()] * 8


def test_another_model_is_refused(store, tmp_path):
    other = tiny_config(decoder={"f0": True, "layers": 3}, training={"quantizer_start_step": 3})
    with pytest.raises(ModelError, match=r"old: was made with decoder.layers = 3, not 2"):
        trainer(
            CONFIG,
            store,
            tmp_path / "run",
            start=Initialization(_model(3, other), ("p0", "p1", "p2"), tmp_path / "old"),
        )


def test_a_setting_that_is_newer_than_the_model_has_its_default(tmp_path):
    older = CONFIG.to_dict()  # as checkpoints and earlier model files hold it
    del older["encoder"]["norm_reach"]
    require_same_model(CONFIG.model, older, tmp_path, "")
    with pytest.raises(ModelError, match=r"was made with encoder.norm_reach = 0.0, not 0.5; give another$"):
        require_same_model(tiny_config(encoder={"norm_reach": 0.5}).model, older, tmp_path, "give another")


def test_a_run_goes_on_as_it_began(store, tmp_path):
    start = Initialization(_model(3), ("p0", "p1", "p2"), tmp_path / "old")
    trainer(CONFIG, store, tmp_path / "run", start=start).run()
    with pytest.raises(ModelError, match="began from .*old; give the same --init"):
        trainer(CONFIG, store, tmp_path / "run").run()
    trainer(CONFIG, store, tmp_path / "plain").run()
    with pytest.raises(ModelError, match="began from random weights"):
        trainer(CONFIG, store, tmp_path / "plain", start=start).run()
