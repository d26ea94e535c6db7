"""All layouts by name, and which one a folder has: decided by what is there, refused where that is not plain."""

from pathlib import Path

from vqvc.audio.folder import recordings_in
from vqvc.corpus.layouts import folders, jvs, kaldi, librispeech, libritts, ljspeech, vctk
from vqvc.corpus.source import Source, require_directory, subfolders
from vqvc.errors import UsageError

LAYOUTS = {layout.NAME: layout for layout in (vctk, librispeech, libritts, ljspeech, jvs, kaldi, folders)}
AUTO = "auto"


def detect(source: Path) -> str:
    """The name of the layout of ``source``; raises UsageError when it holds several corpora.

    A folder of none of the known corpora is ``folders``, whose reader refuses what is not plainly a folder per speaker.
    """
    roots = _known(source)
    if not roots:
        for folder in subfolders(source):
            for name in _known(folder):
                raise UsageError(f"{source}: holds {name} in {folder.name}; give each corpus as a --source")
        return folders.NAME
    name, root = next(iter(roots.items()))
    several = {found for found in roots.values() if found != source}
    if len(several) > 1 or (root != source and recordings_in(source, [root]).recordings):
        raise UsageError(f"{source}: holds {name} in {root} and more beside it; give each corpus as a --source")
    return name


def _known(source: Path) -> dict[str, Path]:
    """Every layout but ``folders`` that ``source`` has, with the folder where it begins."""
    return {name: root for name, layout in LAYOUTS.items() if layout is not folders and (root := layout.find(source))}


def read(source: str | Path, layout: str = AUTO, mic: str = "mic2") -> Source:
    """The corpus in ``source``, its layout found out or given. ``mic``: of VCTK 0.92.

    Raises UsageError or CorpusError when it has another layout, or none that is known.
    """
    source = Path(source)
    require_directory(source)
    name = detect(source) if layout == AUTO else layout
    if name == vctk.NAME:
        return vctk.read(source, mic)
    return folders.read(source, forced=layout == name) if name == folders.NAME else LAYOUTS[name].read(source)
