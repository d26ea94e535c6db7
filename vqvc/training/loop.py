"""The training loop, which all models share: clock, log, signals, checkpoints, resumption, agreement of workers.

A ``Task`` holds what is specific to a model, see ``training.task``.
"""

import logging
import math
import sys
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter

import torch
import yaml
from torch import Tensor, nn
from tqdm import tqdm

from vqvc._util.atomic import write_text
from vqvc._util.lock import lock_folder
from vqvc.errors import ModelError, TrainingError
from vqvc.training import checkpoint, distributed
from vqvc.training.interrupt import Interrupt
from vqvc.training.task import HeldOutFigures, Position, Settings, Task
from vqvc.training.tracker import Tracker

LOG_EVERY = 20  # steps
WORST = 4.0  # weights that cost more than so many times the bits of a uniform guess on unseen data are not saved
logger = logging.getLogger("vqvc.training")


@dataclass(frozen=True)
class Finished:
    """How a run ended.

    model: with averaged weights. step, minutes: how far it came, over all resumptions. held_out: the last validation.
    signal: number of the signal that stopped the run; None if it reached its end.
    """

    model: nn.Module
    step: int
    minutes: float
    held_out: HeldOutFigures | None
    signal: int | None


def learning_rate(settings: Settings, step: int, progress: float) -> float:
    """The learning rate of a step: linear warm-up over ``warmup_steps``, constant, then cosine decay to 1 %.

    progress: of the run, from 0 to 1; the decay takes the last ``decay_fraction`` of it.
    """
    warmup = min(1.0, (step + 1) / max(1, settings.warmup_steps))
    decay_progress = max(0.0, progress - (1 - settings.decay_fraction)) / max(settings.decay_fraction, 1e-9)
    decay = 0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * min(1.0, decay_progress)))
    return settings.learning_rate * warmup * decay


class Loop:
    """Trains one task in one folder.

    minutes_limit: end the run after this many minutes of training, with the learning-rate decay completed. Minutes
        count over all resumptions; validation and saving do not count.
    restart: if the folder's checkpoints are of another model or other data, remove them and begin again instead of
        raising an error.
    worker: (rank, number of workers).
    """

    def __init__(
        self,
        task: Task,
        folder: Path,
        *,
        minutes_limit: float | None = None,
        restart: bool = False,
        worker: tuple[int, int] = (0, 1),
    ):
        self.task, self.folder = task, Path(folder)
        self.minutes_limit, self.restart = minutes_limit, restart
        self.rank, self.workers = worker
        self.step, self.seconds = 0, 0.0
        self.last_checkpoint: Path | None = None
        self._saved_step: int | None = None
        self._tracker: Tracker | None = None
        self.names = {id(parameter): name for name, parameter in task.model.named_parameters()}

    # --- the run

    def run(self) -> Finished:
        """Train to the end or until a signal, from the newest sound checkpoint in the folder if there is one.

        Raises TrainingError if the folder is in use, if the loss is not finite, if the weights diverge and if a worker
        is gone; ModelError if the checkpoints are of another model or other data; CorpusError if the data is damaged.
        """
        if self.rank == 0:
            self.task.check_data()
        self.folder.mkdir(parents=True, exist_ok=True)
        with lock_folder(self.folder, f".lock{self.rank}"), Interrupt() as interrupt:
            self._resume()
            self.task.prepare()
            distributed.same_everywhere(self.task.model)
            if self.rank == 0:
                checkpoint.sweep(self.folder)
                write_text(self.folder / "config.yaml", yaml.safe_dump(self.task.configuration(), sort_keys=False))
                self._tracker = Tracker(self.folder)
            try:
                return self._train(interrupt)
            finally:
                if self._tracker:
                    self._tracker.close()

    def _train(self, interrupt: Interrupt) -> Finished:
        task, settings = self.task, self.task.settings
        self._log(
            "start", **task.describe(), threads=torch.get_num_threads(), device=str(task.device), workers=self.workers
        )
        last_save, last_valid, held_out = self.seconds, self.seconds, None
        hidden = self.rank or not sys.stderr.isatty()
        with tqdm(total=settings.steps, initial=self.step, unit="step", disable=hidden, file=sys.stderr) as bar:
            before = perf_counter()
            for batch in task.batches(self.step, settings.steps):
                position = self._position()
                if position.progress >= 1:
                    break
                result = task.train_step(batch, position, learning_rate(settings, self.step, position.progress))
                if result is None:
                    utterances = f" (utterances {', '.join(batch.utt_ids[:4])}, ...)"
                    raise self._runaway("the loss or its gradient is not a number", utterances)
                task.average.update(task.model, self.step)
                self.step += 1
                took, stop = distributed.agree(perf_counter() - before, interrupt.received is not None)
                self.seconds += took
                bar.update()
                if self.step % LOG_EVERY == 0 or self.step == 1:
                    self._log_step(result, took)
                task.end_step(self.step, self._log)
                if not stop and self.seconds - last_valid > 60 * settings.valid_minutes:
                    held_out, last_valid = self._validate(interrupt), self.seconds
                if stop or self.seconds - last_save > 60 * settings.checkpoint_minutes:
                    self._save()
                    last_save = self.seconds
                if stop:
                    logger.warning("stopped by a signal at step %d; the same command goes on from here", self.step)
                    return self._finished(held_out, interrupt)
                before = perf_counter()  # validation and saving do not count
        self._save()
        held_out = self._validate(interrupt, final=True)
        if self.rank == 0:
            task.finish()
        if interrupt.received is not None:
            logger.warning("stopped by a signal after the last step; the same command validates again")
        return self._finished(held_out, interrupt)

    def _finished(self, held_out: HeldOutFigures | None, interrupt: Interrupt) -> Finished:
        return Finished(self.task.average.module, self.step, self.minutes, held_out, interrupt.received)

    @property
    def minutes(self) -> float:
        return self.seconds / 60

    def _progress(self) -> float:
        """The completed share of the run; equal on all workers, since ``distributed.agree`` averages their clocks."""
        by_steps = self.step / self.task.settings.steps
        return max(by_steps, self.minutes / self.minutes_limit) if self.minutes_limit else by_steps

    def _position(self) -> Position:
        return Position(self.step, self._progress(), self.minutes_limit is not None)

    # --- the log

    def _log(self, event: str, **values) -> None:
        if self._tracker:
            self._tracker.write(event, step=self.step, minutes=self.minutes, **values)

    def _log_step(self, result: dict, took: float) -> None:
        values, sentence = self.task.figures(result)
        speed = round(self.task.units_per_step / max(took, 1e-9))
        self._log("train", **{f"{self.task.unit}_per_second": speed}, **values)
        if self.rank == 0 and self.step % (5 * LOG_EVERY) == 0:
            logger.info("step %d, %.1f min: %s, %d %s/s", self.step, self.minutes, sentence, speed, self.task.unit)

    def _validate(self, interrupt: Interrupt, final: bool = False) -> HeldOutFigures | None:
        if self.rank:
            return None
        held_out = self.task.validate(self._position(), final, lambda: interrupt.received is not None)
        if held_out is None:
            return None
        if not math.isfinite(held_out.bits):
            raise self._runaway("the held-out score is not a number")
        self._log("end" if final else "valid", **held_out.as_dict())
        logger.info("step %d, %.1f min: %s", self.step, self.minutes, held_out)
        return held_out

    def _runaway(self, what: str, where: str = "") -> TrainingError:
        """The error for a training that has diverged."""
        return TrainingError(
            f"step {self.step}: {what}{where}; last good checkpoint: {self.last_checkpoint or 'none yet'}; "
            "a lower training.learning_rate may help"
        )

    # --- saving and resuming

    def _tensors(self) -> dict[str, Tensor]:
        tensors = {f"model.{name}": tensor for name, tensor in self.task.model.state_dict().items()}
        tensors |= {f"average.{name}": tensor for name, tensor in self.task.average.module.state_dict().items()}
        for optimizer in self.task.optimizers:
            tensors |= checkpoint.flatten_optimizer(optimizer, self.names)
        return tensors | self.task.tensors()

    def _save(self) -> None:
        """Write a checkpoint of this step. Raises TrainingError instead if the weights have diverged.

        Every worker checks its weights, which are the same on all; the first worker writes.
        """
        if self._saved_step == self.step:
            return
        tensors = self._tensors()
        bits = self._require_sound(tensors)
        self._saved_step = self.step
        if self.rank == 0:
            facts = {"step": self.step, "seconds": self.seconds, "unseen_bits": bits} | self.task.facts()
            self.last_checkpoint = checkpoint.save(self.folder, self.step, tensors, facts)

    def _require_sound(self, tensors: dict[str, Tensor]) -> list[float]:
        """Bits on unseen data under the current and the averaged weights; raises TrainingError if they diverged."""
        for name, tensor in tensors.items():
            if tensor.is_floating_point() and not torch.isfinite(tensor).all():
                raise self._runaway(f"{name} holds numbers that are not finite, and is not saved")
        models = (self.task.model, self.task.average.module)
        unseen_bits = [self.task.unseen_bits(model, self._position()) for model in models]
        limit = WORST * self.task.guess_bits
        if not all(bits <= limit for bits in unseen_bits):  # also true for NaN
            raise self._runaway(
                f"the weights cost {max(unseen_bits):.1f} bits on unseen data, a guess {self.task.guess_bits:.1f}, "
                "and are not saved"
            )
        return unseen_bits

    def _resume(self) -> None:
        newest = checkpoint.load_newest(self.folder)
        if newest is None:
            return
        path, tensors, facts = newest
        try:
            self.task.require_same(facts, path)
        except ModelError as error:
            if not self.restart:
                raise
            logger.warning("%s; beginning again", str(error).partition(";")[0])
            checkpoint.clear(self.folder)
            return

        def state_of(prefix: str) -> dict[str, Tensor]:
            return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}

        try:
            self.task.model.load_state_dict(state_of("model."))
            self.task.average.module.load_state_dict(state_of("average."))
            for optimizer in self.task.optimizers:
                checkpoint.restore_optimizer(optimizer, self.names, tensors)
            self.task.restore(tensors, facts)
            self.step, self.seconds = int(facts["step"]), float(facts["seconds"])
        except (RuntimeError, KeyError, TypeError, ValueError) as error:
            reason = str(error).splitlines()[0]
            raise ModelError(f"{path}: does not fit this version ({reason}); train in another folder") from None
        self.last_checkpoint, self._saved_step = path, self.step
        logger.info("resuming at step %d (%.1f min) from %s", self.step, self.minutes, path)
