"""Where the parts of a run lie on disk, so that its folder is all that a command needs."""

import argparse
import logging
import shlex
from dataclasses import dataclass
from pathlib import Path

from vqvc.errors import UsageError

logger = logging.getLogger("vqvc")
HELD = ("config.yaml", "log.jsonl", "model.safetensors", "encoder.safetensors", "codes.npz")  # a run has at least one


@dataclass(frozen=True)
class RunPaths:
    """Where a run and what it was made from lie, as the recipes put them.

        work/data  work/dump/store.json  work/align/phones.ctm
        work/exp/<tag>/model.safetensors  codes.npz  probe/  eval/  prior/  report.html

    ``dump`` and ``align`` are looked for above ``exp``, then beside the run itself.
    """

    run: Path
    work: Path

    @classmethod
    def find(cls, run: str | Path) -> "RunPaths":
        """The paths of the run in the folder ``run``; raises UsageError when it is none."""
        run = Path(run)
        if not run.is_dir():
            raise UsageError(f"{run}: no such folder; give the folder of a training run, such as egs/vctk/exp/small")
        base = run.resolve() if ".." in run.parts or len(run.parts) < 3 else run
        above = base.parent.parent if base.parent.name == "exp" else base.parent
        found = [
            place for place in (above, base.parent, base.parent.parent) if (place / "dump" / "store.json").exists()
        ]
        return cls(run, found[0] if found else above)

    @property
    def model(self) -> Path:
        return self.run / "model.safetensors"

    @property
    def codes(self) -> Path:
        return self.run / "codes.npz"

    @property
    def store(self) -> Path:
        return self.work / "dump"

    @property
    def existing_store(self) -> Path | None:
        """The store, if it is there."""
        return self.store if (self.store / "store.json").exists() else None

    @property
    def alignment(self) -> Path:
        return self.work / "align" / "phones.ctm"

    def require(self, *paths: Path) -> None:
        """Raise UsageError, with the command that makes it, for the first of ``paths`` (properties) that is missing.

        Raises UsageError for a folder that holds nothing of a run too: no command would make one of it.
        """
        if not any((self.run / name).exists() for name in HELD):
            raise UsageError(
                f"{self.run}: is not the folder of a training run: it holds none of {', '.join(HELD)}; give the folder that "
                "vqvc-train --out made, such as egs/vctk/exp/small"
            )
        commands = {
            self.model: ("vqvc-train", "--conf", "small.yaml", "--store", self.store, "--out", self.run),
            self.codes: ("vqvc-encode", self.run),
            self.store: ("vqvc-pack", "--data", self.work / "data", "--out", self.store),
            self.alignment: ("vqvc-align", "--store", self.store, "--out", self.alignment.parent),
        }
        for path in paths:
            if not (path / "store.json" if path == self.store else path).exists():
                raise UsageError(f"{path}: no such file; make it with: {shlex.join(map(str, commands[path]))}")


def warn_of_another_store(model: Path, store: Path) -> None:
    """Log a warning where the model file was trained on another store than the one that is taken beside it."""
    from vqvc.conversion import model_file
    from vqvc.corpus.store import PackedStore

    learned_from = model_file.read_header(model).training.get("store")
    if isinstance(learned_from, str) and learned_from != PackedStore(store).sha256:
        logger.warning(
            "%s: was trained on another store than %s, whose unseen sentences it may have seen; name its own with --store",
            model, store,
        )  # fmt: skip


def fill_in(args: argparse.Namespace, wanted: dict[str, str], out: str, command: str) -> None:
    """Fill in the options of a command from the folder of a run (``args.run``); what was given stays.

    wanted: from options to properties of ``RunPaths``; out: folder in the run for ``args.out``. Raises UsageError, which
    names the command to type, for what was not given and is not there.
    """
    if args.run is not None:
        paths = RunPaths.find(args.run)
        absent = {name: getattr(paths, place) for name, place in wanted.items() if getattr(args, name) is None}
        paths.require(*absent.values())
        for name, path in absent.items():
            setattr(args, name, path)
        if "store" in absent:
            warn_of_another_store(args.model, args.store)
        args.out = args.out or args.run / out
    missing = [f"--{name}" for name in (*wanted, "out") if getattr(args, name) is None]
    if missing:
        listed = " and ".join([", ".join(missing[:-1]), missing[-1]] if missing[1:] else missing)
        example = f"{command} egs/vctk/exp/small"
        raise UsageError(f"give the folder of a run, as in {example}, or give {listed} too")
