"""Who handed in what. A submission is a file, folder, zip or notebook, whatever is in it."""

from __future__ import annotations

import os
import re
import shutil
import stat
import tempfile
import unicodedata
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from numpy_se.checker.words import in_short, one_line, plural
from numpy_se.exercises.grading.notebook import MissingPackageError, code_of

KINDS = (".py", ".ipynb", ".zip")
MOST_FILES, MOST_BYTES = 500, 1 << 26  # of one submission
MOST_NESTED = 3  # zips in zips
NOT_THEIRS = ("__MACOSX", "__pycache__")


@dataclass
class Submission:
    """The Python files of a student, in a folder of its own; ``notes`` say what cannot be read."""

    id: str
    folder: Path
    files: list[Path] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def submissions(place: Path, workshop: Path, pattern: str | None = None) -> list[Submission]:
    """Copy what a folder, or a zip, holds into ``workshop``, a folder for each student.

    The id of a student is the name of the file (without its ending) or folder, or what ``pattern``
    finds in it: its first group, or all of it. What has the same id is one submission. Raises
    ValueError for a place without submissions, and for a pattern that does not read or finds
    nothing in a name; MissingPackageError for notebooks without nbformat.
    """
    if not place.exists():
        raise ValueError(f"{str(place)!r} does not exist; it wants a folder of hand-ins")
    if place.is_file():
        place = _opened(place, workshop / "class")
    found: dict[str, Submission] = {}
    for entry in sorted(filter(_is_theirs, place.iterdir())):
        name = _id(entry, pattern)
        fresh = Submission(name, workshop / "students" / str(len(found)))
        own = found.setdefault(name, fresh)
        if own is not fresh:
            own.notes.append(f"{one_line(entry.name)} has this id, too")
        collect(entry, own)
    if not found:
        raise ValueError(f"{str(place)!r} has no hand-ins: no folder, and no {', '.join(KINDS)}")
    return sorted(found.values(), key=lambda one: one.id)


def collect(entry: Path, own: Submission) -> None:
    """Copy what is Python into the folder of a student; note what cannot be read."""
    own.folder.mkdir(parents=True, exist_ok=True)
    before = len(own.files), len(own.notes)
    _collect(entry, own, MOST_NESTED)
    if (len(own.files), len(own.notes)) == before:
        own.notes.append(f"{one_line(entry.name)} has no {', '.join(KINDS)}")


def _collect(entry: Path, own: Submission, nested: int) -> None:
    for path, inside in _files(entry, own):
        if len(own.files) >= MOST_FILES:
            own.notes.append(f"more than {plural(MOST_FILES, 'file')}: the rest is left out")
            return
        try:
            _take(path, inside, own, nested)
        except MissingPackageError:
            raise
        except (Exception, MemoryError) as error:  # whatever stands in a file of a stranger
            own.notes.append(f"{one_line(inside.name)} cannot be read: {in_short(error)}")


def _take(path: Path, inside: PurePosixPath, own: Submission, nested: int) -> None:
    """Copy one file, notebooks as Python; open a zip."""
    if path.stat().st_size > MOST_BYTES:
        raise ValueError(f"it is larger than {MOST_BYTES >> 20} MB")
    kind = path.suffix.lower()
    if kind == ".zip":
        if not nested:
            raise ValueError("a zip in a zip in a zip in a zip")
        unpacked = Path(tempfile.mkdtemp(dir=own.folder.parent))
        _unpack(path, unpacked, MOST_FILES, MOST_BYTES)
        _collect(unpacked, own, nested - 1)
        return
    text = None
    if kind == ".ipynb":
        text, dropped = code_of(path)
        own.notes += [f"{one_line(inside.name)}: {what}" for what in dropped]
    to = _free(own.folder / inside.with_suffix(".py"))
    to.parent.mkdir(parents=True, exist_ok=True)
    if text is None:
        shutil.copyfile(path, to)
    else:
        to.write_text(text, encoding="utf-8")
    own.files.append(to)


def _free(path: Path) -> Path:
    """A path that is not taken: a notebook beside a file of its name keeps neither from us."""
    free, number = path, 2
    while free.exists():
        free, number = path.with_name(f"{path.stem}_{number}.py"), number + 1
    return free


def _files(entry: Path, own: Submission) -> Iterator[tuple[Path, PurePosixPath]]:
    """The files of an entry that may be Python, and where each lies in it. Links are left out."""
    if entry.is_symlink():
        own.notes.append(f"{one_line(entry.name)} is a link")
    elif entry.is_file():
        if entry.suffix.lower() in KINDS:
            yield entry, PurePosixPath(entry.name)
    else:
        for folder, folders, names in os.walk(entry):
            folders[:] = sorted(name for name in folders if _is_theirs(Path(name)))
            for path in (Path(folder, name) for name in sorted(names)):
                wanted = path.suffix.lower() in KINDS and _is_theirs(path)
                if wanted and not path.is_symlink() and path.is_file():
                    yield path, PurePosixPath(path.relative_to(entry).as_posix())


def _is_theirs(entry: Path) -> bool:
    return entry.name not in NOT_THEIRS and not entry.name.startswith(".")


def _id(entry: Path, pattern: str | None) -> str:
    """The id, in the form that equal names have on all systems."""
    name = unicodedata.normalize("NFC", entry.name if entry.is_dir() else entry.stem)
    if pattern is None:
        return name
    try:
        found = re.search(pattern, name)
    except re.error as error:
        raise ValueError(f"--id {pattern!r} does not read: {error}") from error
    if not found or not (part := found[1] if found.re.groups else found[0]):
        raise ValueError(f"--id {pattern!r} finds nothing in {name!r}")
    return str(part)


def _opened(place: Path, folder: Path) -> Path:
    """The zip of a whole class. A single folder in it is the class."""
    folder.mkdir(parents=True)
    try:
        _unpack(place, folder, MOST_FILES * 1000, MOST_BYTES * 100)
    except Exception as error:  # a zip has many ways to be damaged
        raise ValueError(f"{place.name!r} is no zip that opens: {in_short(error)}") from error
    entries = [entry for entry in folder.iterdir() if _is_theirs(entry)]
    return entries[0] if len(entries) == 1 and entries[0].is_dir() else folder


def _unpack(path: Path, folder: Path, most_files: int, most_bytes: int) -> None:
    """Open a zip in a folder, as far as it may be Python.

    Raises ValueError for what is too large, or leads elsewhere.
    """
    with zipfile.ZipFile(path) as archive:
        entries = [one for one in archive.infolist() if _suffix(one) in KINDS]
        if len(entries) > most_files or sum(one.file_size for one in entries) > most_bytes:
            raise ValueError(f"it has more than {most_files} files or {most_bytes >> 20} MB")
        for one in entries:
            name = one.filename.replace("\\", "/")
            to = (folder / name).resolve()
            leads_out = ":" in name or not to.is_relative_to(folder.resolve())
            if leads_out or stat.S_ISLNK(one.external_attr >> 16):
                raise ValueError(f"{one_line(name)} leads out of the zip, or is a link")
            to.parent.mkdir(parents=True, exist_ok=True)
            with archive.open(one) as source, to.open("wb") as copy:
                copy.write(source.read(one.file_size))


def _suffix(entry: zipfile.ZipInfo) -> str:
    return PurePosixPath(entry.filename.replace("\\", "/")).suffix.lower()
