"""The training loop: resumable at any step, alive to signals, honest in its log."""

import logging
import math
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import torch
import yaml
from tqdm import tqdm

from vqvc._util.atomic import write_text
from vqvc.config import Config, TrainingConfig
from vqvc.corpus.store import PackedStore
from vqvc.errors import ModelError, TrainingError
from vqvc.nn.acoustic_units import AcousticUnits
from vqvc.nn.precision import working_dtype
from vqvc.nn.quantizer import perplexity
from vqvc.nn.vqvae import VQVAE
from vqvc.training import checkpoint, distributed, liveliness
from vqvc.training.average import AveragedModel
from vqvc.training.crops import Batch, Crops
from vqvc.training.folder import hold
from vqvc.training.interrupt import Interrupt
from vqvc.training.start import Start, require_same_model
from vqvc.training.step import FIGURES, TrainingStep
from vqvc.training.teacher import Teacher
from vqvc.training.tracker import Tracker
from vqvc.training.units import find_units, shuffled
from vqvc.training.validation import HeldOut, validate

LOG_EVERY = 20  # steps
VALID_SECONDS = 40.0  # speech scored while training
FINAL_SECONDS = 300.0  # speech scored at the end
CODEBOOK_BATCHES = 16  # batches of z_e from which the codebook starts
FREE_SHARE = 0.05  # of its minutes, after which a run has its codebook, were it too slow for ``free_steps``
logger = logging.getLogger("vqvc.training")


@dataclass(frozen=True)
class Finished:
    """How a run ended: by itself (signal None) or by a signal, after so many steps and minutes."""

    model: VQVAE
    step: int
    minutes: float
    samples: int
    held_out: HeldOut | None
    signal: int | None


def learning_rate(settings: TrainingConfig, step: int, progress: float) -> float:
    """Linear rise over warmup_steps, flat, then a cosine fall to a hundredth over the last decay_fraction."""
    rise = min(1.0, (step + 1) / max(1, settings.warmup_steps))
    into = max(0.0, progress - (1 - settings.decay_fraction)) / max(settings.decay_fraction, 1e-9)
    fall = 0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * min(1.0, into)))
    return settings.learning_rate * rise * fall


class Trainer:
    """Trains one model in one folder.

    speakers: names in the order of the model's speaker table. minutes_limit ends the run after that many minutes of
    training (over all resumptions) with a finished learning-rate decay. start: a trained model to begin from instead of
    random weights; its codebook is taken, so neither ``listen_first`` nor ``free_steps`` applies.
    """

    def __init__(
        self,
        config: Config,
        store: PackedStore,
        folder: Path,
        speakers: tuple[str, ...],
        *,
        device: torch.device | str = "cpu",
        minutes_limit: float | None = None,
        worker: tuple[int, int] = (0, 1),
        start: Start | None = None,
    ):
        self.config, self.store, self.folder, self.speakers = config, store, Path(folder), speakers
        self.device, self.minutes_limit = torch.device(device), minutes_limit
        self.rank, self.workers = worker
        self.dtype = working_dtype(config.training.precision, self.device)
        if store.sample_rate != config.audio.sample_rate:
            raise TrainingError(f"{store.path}: is at {store.sample_rate} Hz, the model wants {config.audio.sample_rate} Hz")
        settings = config.training
        if settings.batch_size < self.workers:
            raise TrainingError(f"training.batch_size: {settings.batch_size} crops are too few for {self.workers} workers")
        self.crops = Crops(
            store, "train", speakers, batch_size=settings.batch_size, crop_samples=settings.crop_samples,
            lead_samples=settings.lead_samples, history_samples=max(64, config.decoder.lpc_order),
            speaker_balance=settings.speaker_balance, perturbed_fraction=settings.perturbed_fraction, seed=settings.seed, share=worker,
        )  # fmt: skip
        torch.manual_seed(settings.seed)
        self.model = VQVAE(config, len(speakers)).to(self.device)
        self.listen_first, self.free = settings.listen_first, True  # free: the codebook has not started
        self.begun_from = str(start.path) if start else None
        teacher = None
        if settings.teacher_weight and start is None:
            raise TrainingError("training.teacher_weight: wants the model of --init as its teacher")
        if start is not None:
            start.give(self.model, speakers)
            self.listen_first, self.free = 0.0, False
            if settings.teacher_weight:
                teacher = Teacher.of(start.model.to(self.device), speakers, start.speakers)
        self.average = AveragedModel(self.model, settings.weight_average)
        self.work = TrainingStep(self.model, settings, self.dtype, worker, teacher)
        self.names = {id(parameter): name for name, parameter in self.model.named_parameters()}
        self.step, self.seconds = 0, 0.0
        self.epoch_counts = torch.zeros(config.quantizer.codebook_size, device=self.device)
        self.epoch_steps = max(1, math.ceil(self.crops.total_samples / (settings.batch_size * settings.crop_samples)))
        self.last_checkpoint: Path | None = None

    # --- the run

    def run(self) -> Finished:
        """Train to the end, or until a signal; resumes from the newest sound checkpoint in the folder.

        Raises TrainingError for a folder in use, a loss that is not a number and a worker that is gone, ModelError for
        checkpoints of another model.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        with self._lock(), Interrupt() as interrupt:
            self._resume()
            distributed.same_everywhere(self.model)
            if self.rank == 0:
                checkpoint.sweep(self.folder)
                write_text(self.folder / "config.yaml", yaml.safe_dump(self.config.to_dict(), sort_keys=False))
            tracker = Tracker(self.folder) if self.rank == 0 else None
            try:
                return self._loop(tracker, interrupt)
            finally:
                if tracker:
                    tracker.close()

    def _loop(self, tracker: Tracker | None, interrupt: Interrupt) -> Finished:
        settings = self.config.training
        self._tell(tracker, "start", parameters=sum(p.numel() for p in self.model.parameters()),
                   train_samples=self.crops.total_samples, speakers=len(self.speakers), config=self.config.hash(),
                   threads=torch.get_num_threads(), device=str(self.device), workers=self.workers,
                   precision=str(self.dtype).removeprefix("torch."))  # fmt: skip
        bar = tqdm(total=settings.steps, initial=self.step, unit="step", disable=self.rank or not sys.stderr.isatty())
        last_save, last_valid, held_out = self.seconds, self.seconds, None
        before = time.perf_counter()
        for batch in self.crops.batches(self.step, settings.steps):
            progress = self._progress()
            if progress >= 1:
                break
            if self.free and self._is_time_for_codes(progress):
                self._start_codebook()
                self.free = False
            figures = self._train_step(batch, progress)
            self.step += 1
            now = time.perf_counter()
            took, before = now - before, now
            self.seconds += took
            bar.update()
            if self.step % LOG_EVERY == 0 or self.step == 1:
                self._log_step(tracker, figures, took)
            if self.step % self.epoch_steps == 0:
                self._end_epoch(tracker)
            if self.seconds - last_valid > 60 * settings.valid_minutes:
                held_out, last_valid = self._validate(tracker, VALID_SECONDS, interrupt), self.seconds
                before = time.perf_counter()  # minutes are of training alone
            stop = distributed.any_worker(interrupt.received is not None)
            if stop or self.seconds - last_save > 60 * settings.checkpoint_minutes:
                self._save()
                last_save = self.seconds
            if stop:
                logger.warning("stopped by a signal at step %d; the same command goes on from here", self.step)
                return Finished(self.average.module, self.step, self.minutes, self._samples, held_out, interrupt.received)
        bar.close()
        self._save()
        held_out = self._validate(tracker, FINAL_SECONDS, interrupt, "end")
        if self.rank == 0 and self.model.has_mel:
            liveliness.measure(self.average.module, self.store, self.speakers)
        if interrupt.received is not None:
            logger.warning("stopped by a signal after the last step; the same command validates again")
        return Finished(self.average.module, self.step, self.minutes, self._samples, held_out, interrupt.received)

    @property
    def minutes(self) -> float:
        return self.seconds / 60

    @property
    def _samples(self) -> int:
        return self.step * self.config.training.batch_size * self.config.training.crop_samples

    def _progress(self) -> float:
        """Share of the run that is over, by steps or by minutes, whichever is further; the same on every worker."""
        done = self.step / self.config.training.steps
        if self.minutes_limit:
            minutes = self.minutes
            if self.workers > 1:
                minutes = float(distributed.mean_over_workers(torch.tensor(minutes, device=self.device)))
            done = max(done, minutes / self.minutes_limit)
        return done

    def _train_step(self, batch: Batch, progress: float) -> dict:
        """What ``_log_step`` tells, as tensors."""
        rate = learning_rate(self.config.training, self.step, progress)
        found = self.work(batch, self.step, rate, resting=progress < self.listen_first, free=self.free)
        if found is None:
            raise self._not_a_number(batch)
        figures, counts = found
        self.average.update(self.model, self.step)
        self.epoch_counts += counts
        return {**dict(zip(FIGURES, figures)), "learning_rate": rate, "counts": counts}

    def _not_a_number(self, batch: Batch) -> TrainingError:
        return TrainingError(
            f"step {self.step}: the loss or its gradient is not a number (utterances {', '.join(batch.utt_ids[:4])}, ...); "
            f"last good checkpoint: {self.last_checkpoint or 'none yet'}; a lower training.learning_rate may help"
        )

    # --- what is told

    def _tell(self, tracker: Tracker | None, event: str, **values) -> None:
        if tracker:
            tracker.write(event, step=self.step, minutes=self.minutes, **values)

    def _log_step(self, tracker: Tracker | None, figures: dict, took: float) -> None:
        speed = self.config.training.batch_size * self.config.training.crop_samples / took
        bits, told = float(figures.pop("nll")) / math.log(2), perplexity(figures.pop("counts"))
        figures = {"loss_bits": bits, **{name: float(value) for name, value in figures.items()}, "perplexity": told}
        self._tell(tracker, "train", samples_per_second=round(speed), **figures)
        if tracker and self.step % (5 * LOG_EVERY) == 0:
            logger.info("step %d, %.1f min: %.3f bits (train), mel %.3f, perplexity %.0f, %.0f samples/s",
                        self.step, self.minutes, figures["loss_bits"], figures["mel"], figures["perplexity"], speed)  # fmt: skip

    def _end_epoch(self, tracker: Tracker | None) -> None:
        counts = distributed.sum_over_workers(self.epoch_counts)
        used, size = int((counts > 0).sum()), len(counts)
        self._tell(tracker, "epoch", epoch=self.step // self.epoch_steps, codes_used=used, usage=used / size,
                   perplexity=perplexity(counts))  # fmt: skip
        if tracker and used < 0.5 * size:
            logger.warning("only %d of %d codes were used in this epoch; a higher quantizer.restart_below "
                           "or a lower training.learning_rate may help", used, size)  # fmt: skip
        self.epoch_counts.zero_()

    def _validate(
        self, tracker: Tracker | None, seconds: float, interrupt: Interrupt, event: str = "valid"
    ) -> HeldOut | None:
        """Score held-out sentences with the averaged weights, on the first worker; None when a signal came."""
        if self.rank or not self.store.subset("dev"):
            return None
        resting = self._progress_is_resting()
        held_out = validate(self.average.module, self.store, "dev", self.speakers, seconds=seconds, dtype=self.dtype,
                            resting=resting, stop=lambda: interrupt.received is not None)  # fmt: skip
        if held_out is None:
            return None
        self._tell(tracker, event, resting=resting, usage=held_out.codes_used / held_out.codebook_size, **held_out.as_dict())
        logger.info("step %d, %.1f min: held out %.3f bits per sample (%.3f with another utterance's codes), %d of %d codes",
                    self.step, self.minutes, held_out.bits_per_sample, held_out.bits_shuffled_codes,
                    held_out.codes_used, held_out.codebook_size)  # fmt: skip
        return held_out

    def _progress_is_resting(self) -> bool:
        done = max(self.step / self.config.training.steps, self.minutes / self.minutes_limit if self.minutes_limit else 0.0)
        return done < self.listen_first

    # --- starting and resuming

    def _is_time_for_codes(self, progress: float) -> bool:
        late = self.minutes_limit is not None and progress >= FREE_SHARE
        return late or self.step >= self.config.quantizer.free_steps

    @torch.no_grad()
    def _start_codebook(self) -> None:
        """The codebook begins as k-means of what the encoder hears; an encoder of acoustic units finds them first."""
        self.model.train()
        if isinstance(self.model.front, AcousticUnits):
            if self.rank == 0:
                find_units(self.model.front, shuffled(self.store, self.speakers, self.config.training.seed), self.config.training.seed)
            distributed.same_everywhere(self.model.front)
            self.average.module.front.load_state_dict(self.model.front.state_dict())
        heard = []
        for number in range(CODEBOOK_BATCHES):
            batch = self.crops.batch(2**31 + number, whole=True)
            z_e = self.model.listen(torch.from_numpy(batch.source).to(self.device))
            heard.append(z_e.transpose(1, 2).reshape(-1, z_e.shape[1]))
        generator = torch.Generator().manual_seed(self.config.training.seed)
        self.model.quantizer.initialise(torch.cat(heard), generator)
        distributed.same_everywhere(self.model.quantizer)
        self.average.module.quantizer.load_state_dict(self.model.quantizer.state_dict())

    def _save(self) -> None:
        if self.rank:
            return
        tensors = {f"model.{k}": v for k, v in self.model.state_dict().items()}
        tensors |= {f"average.{k}": v for k, v in self.average.module.state_dict().items()}
        for optimizer in self.work.optimizers:
            tensors |= checkpoint.flatten_optimizer(optimizer, self.names)
        tensors["epoch_counts"] = self.epoch_counts
        facts = {"step": self.step, "seconds": self.seconds, "config": self.config.to_dict(), "speakers": list(self.speakers),
                 "begun_from": self.begun_from, "free": self.free}  # fmt: skip
        self.last_checkpoint = checkpoint.save(self.folder, self.step, tensors, facts)

    def _resume(self) -> bool:
        newest = checkpoint.load_newest(self.folder)
        if newest is None:
            return False
        path, tensors, facts = newest
        require_same_model(self.config, facts["config"], path, "train in another folder")
        if facts["speakers"] != list(self.speakers):
            raise ModelError(f"{path}: was made for other speakers; train in another folder")
        if bool(facts.get("begun_from")) != bool(self.begun_from):
            began = f"from {facts['begun_from']}" if facts.get("begun_from") else "from random weights"
            raise ModelError(f"{path}: this training began {began}; give the same --init, or train in another folder")
        part = lambda prefix: {k[len(prefix) :]: v for k, v in tensors.items() if k.startswith(prefix)}  # noqa: E731
        self.model.load_state_dict(part("model."))
        self.average.module.load_state_dict(part("average."))
        for optimizer in self.work.optimizers:
            checkpoint.restore_optimizer(optimizer, self.names, tensors)
        self.epoch_counts = tensors["epoch_counts"].to(self.device)
        self.step, self.seconds, self.last_checkpoint = facts["step"], facts["seconds"], path
        self.free = facts.get("free", self.free and self.step <= self.config.quantizer.free_steps)  # older ones do not say
        logger.info("resuming at step %d (%.1f min) from %s", self.step, self.minutes, path)
        return True

    def _lock(self):
        return hold(self.folder, f".lock{self.rank}")
