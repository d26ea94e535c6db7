"""Any corpus of one folder per speaker, the speaker's name being the folder's.

    wav/SPEAKER/UTT.wav + txt/SPEAKER/UTT.txt + speakers.tsv     (speakers.tsv: speaker, gender, accent)
    SPEAKER/.../UTT.flac + UTT.txt or UTT.lab beside it, or lines of ``UTT words`` in *.trans.txt

An utterance is SPEAKER_UTT. Where two would get the same id, the folders between follow the speaker, then
the suffix. Folders that do not look like speakers (``wavs``, ``train``, one folder with more below) are refused unless
the layout is asked for.
"""

import re
from pathlib import Path

from vqvc._util import textfile
from vqvc.audio.folder import recordings_in
from vqvc.corpus import ids
from vqvc.corpus.source import (
    Item,
    LeftOut,
    Source,
    Speaker,
    clean_text,
    gender_of,
    name_problem,
    read_text_file,
    subfolders,
)
from vqvc.errors import CorpusError

NAME = "folders"
PICTURE = "SPEAKER/UTT.wav, or wav/SPEAKER/UTT.wav with txt/SPEAKER/UTT.txt"
SKIPPED = {"txt", "phones"}  # folders beside wav/ that hold no recordings
NO_SPEAKER = re.compile(
    r"(wavs?(\d.*)?|flacs?|mp3s?|oggs?|audios?|clips?|sounds?|recordings?|utterances?|speech|samples?|raw|data|datasets?"
    r"|corpus|corpora|downloads?|speakers?|all|other|clean|male|female|(train|dev|test|valid|validation|eval)([-_].*)?)",
    re.IGNORECASE,
)  # names that unpacked corpora give to folders which hold many speakers


def find(source: Path) -> Path | None:
    """The folder that holds the speakers' folders; None when no folder in ``source`` holds recordings."""
    for root in (source / "wav", source):
        if any(recordings_in(folder).recordings for folder in _speaker_folders(source, root)):
            return root
    return None


def read(source: str | Path, *, forced: bool = False) -> Source:
    """Read the corpus; raises CorpusError when no folder in it holds recordings, or the folders are no speakers'.

    ``forced``: take every folder for a speaker's.
    """
    source = Path(source)
    root = find(source)
    if root is None:
        raise CorpusError(f"{source}: no recordings in folders of speakers (SPEAKER/*.wav); see --help for the layouts")
    result = Source(source, NAME)
    inside = {folder: recordings_in(folder).recordings for folder in _speaker_folders(source, root)}
    inside = {folder: paths for folder, paths in inside.items() if paths}
    if not forced:
        _require_speakers(source, inside)
    speakers = ids.distinct([folder.name for folder in inside])
    for name, speaker in sorted(speakers.items()):
        if speaker != name:
            result.notes.append(f"{ids.shown(name)}: is called {speaker}")
    for folder in subfolders(root):
        if folder not in inside and not (root == source and folder.name in SKIPPED):
            result.notes.append(f"{ids.shown(folder.name)}: holds no recordings")
    utt_ids = _utterance_ids(inside, speakers)
    for folder, paths in inside.items():
        trans = _trans_files(folder)
        for path in paths:
            problem = name_problem(path)
            if problem:
                result.left_out.append(LeftOut(utt_ids[path], "file name cannot be listed", problem))
            else:
                result.items.append(Item(utt_ids[path], speakers[folder.name], path, _text(source, path, trans)))
    result.leave_out_rest(recordings_in(root), {path for paths in inside.values() for path in paths})
    _read_speakers(source, result, speakers)
    return result


def _speaker_folders(source: Path, root: Path) -> list[Path]:
    return [folder for folder in subfolders(root) if root != source or folder.name not in SKIPPED]


def _require_speakers(source: Path, inside: dict[Path, list[Path]]) -> None:
    """Raise CorpusError for a folder that is not plainly a speaker's."""
    below = {folder: {path.relative_to(folder).parts[0] for path in paths} for folder, paths in inside.items()}
    for folder, paths in inside.items():
        if all(path.name.startswith((f"{folder.name}_", f"{folder.name}-")) for path in paths):
            continue
        others = set().union(*(names for other, names in below.items() if other != folder))
        direct = any(path.parent == folder for path in paths)
        styles = bool(below[folder] & others) and not any(_below_a_collection(path, folder) for path in paths)
        if NO_SPEAKER.fullmatch(folder.name) or not (direct or styles):
            raise CorpusError(
                f"{source}: its layout is not understood: the folder {ids.shown(folder.name)} does not look like a "
                "speaker's; arrange the recordings as SPEAKER/NAME.wav, name the corpus by --layout, or give --layout "
                "folders if every folder is a speaker"
            )


def _below_a_collection(path: Path, folder: Path) -> bool:
    """Whether ``folder`` holds the recording as ``wav/NAME/...``: then NAME is a speaker, rather than the folder."""
    parts = path.relative_to(folder).parts
    return len(parts) > 2 and bool(NO_SPEAKER.fullmatch(parts[0]))


def _utterance_ids(inside: dict[Path, list[Path]], speakers: dict[str, str]) -> dict[Path, str]:
    """An id for each recording, all different, whatever the order of the files."""
    candidates = {}
    for folder, paths in inside.items():
        speaker = speakers[folder.name]
        for path in paths:
            own = ids.spell(path.stem)
            name = own if own.startswith((f"{speaker}_", f"{speaker}-")) else f"{speaker}_{own}"
            between = "_".join(ids.spell(part) for part in path.relative_to(folder).parts[:-1])
            whole = f"{speaker}_{between}_{own}" if between else name
            typed = f"{whole}_{ids.spell(path.suffix[1:].lower())}"
            last = ids.with_hash(typed, str(path.relative_to(folder.parent)))
            candidates[path] = tuple(ids.spell(choice) for choice in (name, whole, typed, last))
    return ids.first_unique(candidates)


def _text(source: Path, path: Path, trans: dict[str, str]) -> str:
    if path.stem in trans:
        return trans[path.stem]
    candidates = [path.with_suffix(".txt"), path.with_suffix(".lab")]
    if path.is_relative_to(source / "wav"):
        candidates.append((source / "txt" / path.relative_to(source / "wav")).with_suffix(".txt"))
    return next((read_text_file(candidate) for candidate in candidates if candidate.is_file()), "")


def _trans_files(folder: Path) -> dict[str, str]:
    """Lines of ``utt_id WORDS`` in *.trans.txt."""
    lines = (line for path in sorted(folder.rglob("[!.]*.trans.txt")) for line in textfile.read(path).split("\n"))
    return {words[0]: clean_text(words[1]) for words in (line.split(maxsplit=1) for line in lines) if len(words) == 2}


def _read_speakers(source: Path, result: Source, speakers: dict[str, str]) -> None:
    table = source / "speakers.tsv"
    if not table.is_file():
        return
    header, *lines = textfile.read(table, error=CorpusError).split("\n")
    columns = header.split("\t")
    names = {item.speaker for item in result.items}
    for line in lines:
        row = dict(zip(columns, line.split("\t")))
        name = speakers.get(row.get("speaker", ""), "")
        if name in names:
            result.speakers[name] = Speaker(name, gender_of(row.get("gender", "")), clean_text(row.get("accent", "")))
