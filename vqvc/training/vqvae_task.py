"""The training task of ``vqvc-train``: the VQ-VAE on crops of a packed store."""

import hashlib
import logging
import math
from collections.abc import Callable, Iterator
from pathlib import Path

import torch
from torch import Tensor

from vqvc._util import model_limits
from vqvc.config import Config
from vqvc.corpus.store import PackedStore
from vqvc.errors import CorpusError, ModelError, TrainingError
from vqvc.nn.acoustic_units import AcousticUnits
from vqvc.nn.builder import build_model
from vqvc.nn.features import CLASSES
from vqvc.nn.precision import working_dtype
from vqvc.nn.quantizer import perplexity
from vqvc.nn.vqvae import VQVAE
from vqvc.training import distributed, final_codebook, global_variance, source_spectrum
from vqvc.training.average import AveragedModel
from vqvc.training.crops import Batch, Crops
from vqvc.training.initialization import Initialization, require_same_model
from vqvc.training.objective import WEIGHTS_WITH_LAYERS, Objective, Phase
from vqvc.training.step import FIGURES, TrainingStep
from vqvc.training.task import Position
from vqvc.training.teacher import Teacher
from vqvc.training.unit_targets import UnitTargets, require_same_codes
from vqvc.training.units import find_units, shuffled
from vqvc.training.validation import HeldOut, validate

VALID_SECONDS = 40.0  # speech scored in a validation during training
FINAL_SECONDS = 300.0  # speech scored in the last validation
UNSEEN_CROPS = 4  # held-out crops on which the weights are checked before a checkpoint is written
CODEBOOK_BATCHES = 16  # batches of z_e on which k-means starts the codebook
# share of a limit of minutes after which the codebook starts, even if ``quantizer_start_step`` is not reached
BYPASS_FRACTION = 0.05
MANY_SAMPLES = 10**9  # size of a store above which the log announces the comparison with its checksum
LEVEL_TOLERANCE = 1e-6  # between the levels of a store and of a model
logger = logging.getLogger("vqvc.training")


class VQVAETask:
    """The model of a Config on the subset ``train`` of a store.

    speakers: names in the order of the model's speaker table. start: a trained model to begin from instead of random
    weights; its codebook is taken, so neither ``decoder_warmup_fraction`` nor ``quantizer_start_step`` applies.
    targets_from: the model whose z_e are clustered into the units of ``training.units_weight``, instead of units that
        are found in cepstra.
    """

    unit = "samples"
    guess_bits = math.log2(CLASSES)

    def __init__(
        self,
        config: Config,
        store: PackedStore,
        speakers: tuple[str, ...],
        *,
        device: torch.device | str = "cpu",
        worker: tuple[int, int] = (0, 1),
        start: Initialization | None = None,
        targets_from: VQVAE | None = None,
    ):
        self.config, self.store, self.speakers = config, store, speakers
        self.settings = settings = config.training
        self.device = torch.device(device)
        self.rank, self.workers = worker
        self.dtype = working_dtype(settings.precision, self.device)
        model_limits.require_possible(config.model)  # as when the model's file is read
        _require_same_audio(config, store)
        if settings.batch_size < self.workers:
            raise TrainingError(
                f"training.batch_size: {settings.batch_size} crops are too few for {self.workers} workers"
            )
        self.units_per_step = settings.batch_size * settings.crop_samples
        self.crops = self._crops("train", settings.batch_size, settings.perturbed_fraction, worker)
        self.held_out = any(u.speaker in speakers for u in store.subset("dev"))
        self.unseen = self._crops("dev" if self.held_out else "train", min(UNSEEN_CROPS, settings.batch_size)).batch(0)
        torch.manual_seed(settings.seed)
        self.model = build_model(config.model, len(speakers))
        self.objective = Objective(settings)
        self.objective.prepare(self.model)
        self.model.to(self.device)
        self.decoder_warmup_fraction, self.bypass_quantizer = settings.decoder_warmup_fraction, True
        self.initialized_from = str(start.path) if start else None
        self.targets_from = targets_from
        self.targets = UnitTargets(store, config.hop_length) if settings.units_weight else None
        if targets_from is not None:
            if self.targets is None:
                raise TrainingError("training.units_weight: is 0, so nothing is predicted; --targets wants it above 0")
            require_same_codes(config, targets_from.config)
        teacher = None
        if settings.teacher_weight and start is None:
            raise TrainingError("training.teacher_weight: wants the model of --init as its teacher")
        if start is not None:
            start.give(self.model, speakers)
            self.decoder_warmup_fraction, self.bypass_quantizer = 0.0, False
            if settings.teacher_weight:
                teacher = Teacher.of(start.model.to(self.device), speakers, start.speakers)
        self.average = AveragedModel(self.model, settings.weight_average)
        self.step = TrainingStep(self.model, self.objective, settings, self.dtype, worker, teacher)
        self.optimizers = self.step.optimizers
        self.epoch_counts = torch.zeros(config.quantizer.codebook_size, device=self.device)
        self.epoch_steps = max(1, math.ceil(self.crops.total_samples / self.units_per_step))

    def _crops(self, subset: str, batch_size: int, perturbed: float = 0.0, share: tuple[int, int] = (0, 1)) -> Crops:
        settings = self.settings
        return Crops(
            self.store, subset, self.speakers, batch_size=batch_size, crop_samples=settings.crop_samples,
            context_samples=settings.context_samples, history_samples=max(64, self.config.decoder.lpc_order),
            speaker_balance=settings.speaker_balance, perturbed_fraction=perturbed, seed=settings.seed, share=share,
        )  # fmt: skip

    # --- the data

    def check_data(self) -> None:
        if self.store.total_samples > MANY_SAMPLES:
            logger.info("%s: comparing the samples with their checksum", self.store.path)
        self.store.verify()
        if not self.held_out:
            logger.warning(
                "%s: nothing is held out, as subset dev has no speech of the %d speakers in training; "
                "the model is trained and written, but nothing measures it on unseen speech",
                self.store.path,
                len(self.speakers),
            )

    def prepare(self) -> None:
        if self.targets is None:
            return
        if self.rank == 0 and not self.targets.found:
            seed = self.settings.seed
            source = self.targets_from
            if source is None:
                e, q = self.config.encoder, self.config.quantizer
                source = AcousticUnits(
                    self.config.audio.sample_rate, self.config.hop_length, e.n_mels, e.units, q.codebook_dim
                ).to(self.device)
                find_units(source, shuffled(self.store, self.speakers, seed), seed)
            latents = source if isinstance(source, AcousticUnits) else source.to(self.device).latents
            self.targets.find(latents, self.store, self.speakers, self.settings.unit_targets, seed, self.device)
        self.targets.to(self.device)  # where workers exchange tensors
        distributed.same_everywhere(self.targets)
        self.crops.targets = self.targets.cpu()

    def describe(self) -> dict:
        return {
            "parameters": sum(p.numel() for p in self.model.parameters()),
            "train_samples": self.crops.total_samples,
            "speakers": len(self.speakers),
            "config": self.config.hash(),
            "precision": str(self.dtype).removeprefix("torch."),
        }

    def configuration(self) -> dict:
        return self.config.to_dict()

    def batches(self, first_step: int, last_step: int) -> Iterator[Batch]:
        return self.crops.batches(first_step, last_step)

    # --- learning

    def train_step(self, batch: Batch, position: Position, rate: float) -> dict | None:
        if self.bypass_quantizer and self._is_time_for_codes(position):
            self.start_codebook()
            self.bypass_quantizer = False
        result = self.step(batch, position.step, rate, self._phase(position))
        if result is None:
            return None
        figures, counts = result
        self.epoch_counts += counts
        return {**dict(zip(FIGURES, figures)), "learning_rate": rate, "counts": counts}

    def _phase(self, position: Position) -> Phase:
        return Phase(position.progress < self.decoder_warmup_fraction, self.bypass_quantizer)

    def _is_time_for_codes(self, position: Position) -> bool:
        too_slow = position.limited and position.progress >= BYPASS_FRACTION
        return too_slow or position.step >= self.config.training.quantizer_start_step

    @torch.no_grad()
    def start_codebook(self) -> None:
        """Start the codebook with k-means on the encoder's outputs; acoustic units are fitted before."""
        self.model.train()
        if isinstance(self.model.front, AcousticUnits):
            if self.rank == 0:
                find_units(
                    self.model.front, shuffled(self.store, self.speakers, self.settings.seed), self.settings.seed
                )
            distributed.same_everywhere(self.model.front)
            self.average.module.front.load_state_dict(self.model.front.state_dict())
        vectors = []
        for number in range(CODEBOOK_BATCHES):
            batch = self.crops.batch(2**31 + number, whole=True)
            z_e = self.model.latents(torch.from_numpy(batch.source).to(self.device))
            vectors.append(z_e.transpose(1, 2).reshape(-1, z_e.shape[1]))
        generator = torch.Generator().manual_seed(self.settings.seed)
        self.model.quantizer.initialise(torch.cat(vectors), generator)
        distributed.same_everywhere(self.model.quantizer)
        self.average.module.quantizer.load_state_dict(self.model.quantizer.state_dict())

    def end_step(self, step: int, log: Callable[..., None]) -> None:
        if step % self.epoch_steps == 0:
            self.end_epoch(step // self.epoch_steps, log)

    def end_epoch(self, epoch: int, log: Callable[..., None]) -> None:
        """Log how much of the codebook was used in an epoch, with a warning if it is less than half."""
        counts = distributed.sum_over_workers(self.epoch_counts)
        used, size = int((counts > 0).sum()), len(counts)
        log("epoch", epoch=epoch, codes_used=used, usage=used / size, perplexity=perplexity(counts))
        if self.rank == 0 and used < 0.5 * size:
            advice = "a higher quantizer.restart_below or a lower training.learning_rate may help"
            logger.warning("only %d of %d codes were used in this epoch; %s", used, size, advice)
        self.epoch_counts.zero_()

    # --- figures

    def figures(self, result: dict) -> tuple[dict, str]:
        others = {name: float(value) for name, value in result.items() if name not in ("nll", "counts")}
        bits, effective = float(result["nll"]) / math.log(2), perplexity(result["counts"])
        values = {"loss_bits": bits, **others, "perplexity": effective}
        if not self.settings.decoder_weight:
            return values, f"units {values['units']:.3f} nats, cpc {values['cpc']:.3f}, perplexity {effective:.0f}"
        return values, f"{bits:.3f} bits (train), mel {values['mel']:.3f}, perplexity {effective:.0f}"

    @torch.no_grad()
    def unseen_bits(self, model: VQVAE, position: Position) -> float:
        if not self.settings.decoder_weight:
            return 0.0
        arrays = (self.unseen.waveform, self.unseen.history, self.unseen.speaker, self.unseen.scored)
        waveform, history, speaker, scored = (torch.from_numpy(array).to(self.device) for array in arrays)
        model.eval()
        losses = self.objective(model, waveform, speaker, history, phase=self._phase(position), dtype=self.dtype)
        return float((losses.nll * scored).sum() / scored.sum().clamp(min=1)) / math.log(2)

    def validate(self, position: Position, final: bool, stop: Callable[[], bool]) -> HeldOut | None:
        if not self.held_out or not self.settings.decoder_weight:
            return None
        return validate(
            self.average.module, self.store, "dev", self.speakers, seconds=FINAL_SECONDS if final else VALID_SECONDS,
            dtype=self.dtype, skip_decoder=self._phase(position).skip_decoder, stop=stop,
        )  # fmt: skip

    def finish(self) -> None:
        if not self.settings.decoder_weight and isinstance(self.model.front, AcousticUnits):
            final_codebook.fit(self.average.module, self.store, self.speakers, self.settings.seed)
        elif self.model.has_mel and self.settings.decoder_weight:
            global_variance.measure(self.average.module, self.store, self.speakers)
        if self.settings.decoder_weight:
            source_spectrum.measure(self.average.module, self.store)

    # --- checkpoints

    def facts(self) -> dict:
        return {
            "config": self.config.to_dict(),
            "speakers": list(self.speakers),
            "store": self._store_identity(),
            "initialized_from": self.initialized_from,
            "bypass_quantizer": self.bypass_quantizer,
        }

    def require_same(self, facts: dict, path: Path) -> None:
        require_same_model(self.config.model, facts["config"], path, "train in another folder")
        for name in WEIGHTS_WITH_LAYERS:
            before, now = facts["config"].get("training", {}).get(name, 0.0), getattr(self.settings, name)
            if bool(before) != bool(now):
                raise ModelError(
                    f"{path}: was trained with training.{name} = {before:g}, not {now:g}, and holds other layers; "
                    "train in another folder, from its model with --init"
                )
        if facts["speakers"] != list(self.speakers):
            raise ModelError(f"{path}: was made for other speakers; train in another folder")
        if facts.get("store", self._store_identity()) != self._store_identity():  # older ones do not have it
            raise ModelError(
                f"{path}: was trained on another store than {self.store.path}; give that one as --store, or train in another folder"
            )
        if bool(facts.get("initialized_from")) != bool(self.initialized_from):
            began = f"from {facts['initialized_from']}" if facts.get("initialized_from") else "from random weights"
            raise ModelError(f"{path}: this training began {began}; give the same --init, or train in another folder")

    def _store_identity(self) -> dict:
        """Checksums of audio, utterances and copies of the store, which must be the same for a resumed run."""
        rows = (
            f"{u.utt_id}\t{u.speaker}\t{u.subset}\t{u.offset_samples}\t{u.length_samples}\n"
            for u in self.store.utterances
        )
        copies = self.store.copies_sha256.values() if self.settings.perturbed_fraction else ()
        return {
            "audio": self.store.sha256,
            "utterances": hashlib.sha256("".join(rows).encode()).hexdigest(),
            "perturbed": list(copies),
        }

    def tensors(self) -> dict[str, Tensor]:
        targets = {} if self.targets is None else {"unit_targets": self.targets.numbers}
        return {"epoch_counts": distributed.sum_over_workers(self.epoch_counts.clone()), **targets}

    def restore(self, tensors: dict[str, Tensor], facts: dict) -> None:
        if self.targets is not None:
            self.targets.numbers.copy_(tensors["unit_targets"])
        counts = tensors["epoch_counts"].to(self.device)
        self.epoch_counts = counts if self.rank == 0 else torch.zeros_like(counts)  # they are summed over workers
        self.bypass_quantizer = facts.get(
            "bypass_quantizer",
            self.bypass_quantizer and facts["step"] <= self.config.training.quantizer_start_step,
        )  # older ones do not have it


def trained_speakers(store: PackedStore) -> tuple:
    """The store's speakers with speech in subset ``train``, in the order of its table.

    Raises CorpusError if an utterance's speaker is not in the table.
    """
    listed = {row.speaker for row in store.speakers}
    missing = sorted({utterance.speaker for utterance in store.utterances} - listed)
    if missing:
        names = ", ".join(missing[:5]) + (", ..." if len(missing) > 5 else "")
        raise CorpusError(f"{store.path / 'speakers.tsv'}: lacks {names}, who speak in utts.tsv; run vqvc-pack again")
    with_speech = {utterance.speaker for utterance in store.subset("train")}
    return tuple(row for row in store.speakers if row.speaker in with_speech)


def _require_same_audio(config: Config, store: PackedStore) -> None:
    audio = config.audio
    if store.sample_rate != audio.sample_rate:
        raise TrainingError(f"{store.path}: is at {store.sample_rate} Hz, the model wants {audio.sample_rate} Hz")
    if abs(store.level_rms - audio.level_rms) > LEVEL_TOLERANCE:
        raise TrainingError(
            f"{store.path}: was packed at a level of {store.level_rms:g}, the model's audio.level_rms is {audio.level_rms:g}; "
            f"pack it with --level-rms {audio.level_rms:g}, or train with --set audio.level_rms={store.level_rms:g}"
        )
