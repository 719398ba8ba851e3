"""Who handed in what. A hand-in is a file, a folder, a zip or a notebook, whatever it contains."""

from __future__ import annotations

import os
import re
import shutil
import stat
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from numpy_se.checker.words import in_short, one_line, plural
from numpy_se.exercises.grading.notebook import NotebookError, code_of

KINDS = (".py", ".ipynb", ".zip")
MOST_FILES, MOST_BYTES = 500, 1 << 24  # of one hand-in
NOT_THEIRS = ("__MACOSX", "__pycache__")


@dataclass
class HandIn:
    """The Python files of a student, in a folder of its own; ``notes`` say what cannot be read."""

    id: str
    folder: Path
    files: list[Path] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def hand_ins(place: Path, workshop: Path, pattern: str | None = None) -> list[HandIn]:
    """Copy all hand-ins of a folder, or of a zip, into ``workshop``, a folder for each student.

    The id of a student is the name of the file or folder, or what ``pattern`` finds in it: its
    first group, or all of it. What has the same id is one hand-in. Raises ValueError for a place
    without hand-ins, a pattern that does not read, and a name in which it finds nothing.
    """
    if not place.exists():
        raise ValueError(f"{str(place)!r} does not exist; it wants a folder of hand-ins")
    if place.is_file():
        place = _opened(place, workshop / "class")
    found: dict[str, HandIn] = {}
    for entry in sorted(place.iterdir()):
        if _is_theirs(entry) and (entry.is_dir() or entry.suffix.lower() in KINDS):
            name = _id(entry, pattern)
            fresh = HandIn(name, workshop / "students" / str(len(found)))
            collect(entry, found.setdefault(name, fresh))
    if not found:
        raise ValueError(f"{str(place)!r} has no hand-ins: no folder, and no {', '.join(KINDS)}")
    return sorted(found.values(), key=lambda one: one.id)


def _opened(place: Path, folder: Path) -> Path:
    """The zip of a whole class, as an LMS gives it."""
    try:
        _unpack(place, folder, MOST_FILES * 1000, MOST_BYTES * 1000)
    except (OSError, ValueError, zipfile.BadZipFile, NotImplementedError, RuntimeError) as error:
        raise ValueError(f"{place.name!r} is no zip that opens: {in_short(error)}") from error
    entries = [entry for entry in folder.iterdir() if _is_theirs(entry)]
    return entries[0] if len(entries) == 1 and entries[0].is_dir() else folder


def _is_theirs(entry: Path) -> bool:
    return entry.name not in NOT_THEIRS and not entry.name.startswith(".")


def _id(entry: Path, pattern: str | None) -> str:
    name = entry.name if entry.is_dir() else entry.stem
    if pattern is None:
        return name
    try:
        found = re.search(pattern, entry.name)
    except re.error as error:
        raise ValueError(f"--id {pattern!r} does not read: {error}") from error
    if not found or not (name := found[1] if found.re.groups else found[0]):
        raise ValueError(f"--id {pattern!r} finds nothing in {entry.name!r}")
    return str(name)


def collect(entry: Path, own: HandIn) -> None:
    """Copy what is Python into the folder of a student; note what cannot be read."""
    own.folder.mkdir(parents=True, exist_ok=True)
    try:
        for path, inside in _files(entry):
            if len(own.files) >= MOST_FILES:
                raise ValueError(f"it has more than {plural(MOST_FILES, 'file')}")
            _take(path, inside, own)
    except (OSError, ValueError, zipfile.BadZipFile, NotImplementedError, RuntimeError) as error:
        own.notes.append(f"{one_line(entry.name)} cannot be read: {in_short(error)}")


def _take(path: Path, inside: PurePosixPath, own: HandIn) -> None:
    """Copy one file, notebooks as Python; open a zip."""
    if path.stat().st_size > MOST_BYTES:
        raise ValueError(f"{inside.name} is larger than {MOST_BYTES >> 20} MB")
    to = own.folder / inside
    if path.suffix.lower() == ".zip":
        unpacked = own.folder.parent / f"{own.folder.name}_{len(own.files)}_{inside.stem}"
        _unpack(path, unpacked, MOST_FILES, MOST_BYTES)
        for part, where in _files(unpacked):
            if part.suffix.lower() != ".zip":
                _take(part, where, own)
        return
    to.parent.mkdir(parents=True, exist_ok=True)
    to = to.with_suffix(".py")
    if path.suffix.lower() == ".ipynb":
        try:
            to.write_text(code_of(path), encoding="utf-8")
        except NotebookError as error:
            own.notes.append(f"{one_line(inside.name)}: {error}")
            return
    else:
        shutil.copyfile(path, to)
    if to not in own.files:
        own.files.append(to)


def _files(entry: Path) -> Iterator[tuple[Path, PurePosixPath]]:
    """The files of an entry that may be Python, and where each lies in it. Links are left out."""
    if entry.is_symlink():
        raise ValueError("it is a link")
    if entry.is_file():
        yield entry, PurePosixPath(entry.name)
        return
    for folder, folders, names in os.walk(entry):
        folders[:] = sorted(name for name in folders if _is_theirs(Path(name)))
        for name in sorted(names):
            path = Path(folder, name)
            wanted = path.suffix.lower() in KINDS and _is_theirs(path)
            if wanted and not path.is_symlink() and path.is_file():
                yield path, PurePosixPath(path.relative_to(entry).as_posix())


def _unpack(path: Path, folder: Path, most_files: int, most_bytes: int) -> None:
    """Open a zip in a folder. Raises ValueError for what is too large, or leads elsewhere."""
    folder.mkdir(parents=True)
    with zipfile.ZipFile(path) as archive:
        entries = [one for one in archive.infolist() if not one.is_dir()]
        if len(entries) > most_files or sum(one.file_size for one in entries) > most_bytes:
            raise ValueError(f"it has more than {most_files} files or {most_bytes >> 20} MB")
        for one in entries:
            name = PurePosixPath(one.filename.replace("\\", "/"))
            if name.is_absolute() or ".." in name.parts or stat.S_ISLNK(one.external_attr >> 16):
                raise ValueError(f"{one_line(one.filename)} leads out of the zip, or is a link")
            to = folder / name
            to.parent.mkdir(parents=True, exist_ok=True)
            with archive.open(one) as source, to.open("wb") as copy:
                copy.write(source.read(one.file_size))
