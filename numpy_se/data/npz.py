"""Your own images in an .npz file, under the names that Keras gives to its data sets."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from numpy_se.data.errors import DataError
from numpy_se.data.images import Images

NAMES = ("x_train", "y_train", "x_test", "y_test")


def read_npz(path: str | Path) -> Images:
    """Make a data set of the arrays x_train, y_train, x_test and y_test of an .npz file.

    They must be what ``Images.from_arrays`` takes. There may be an array ``classes`` of K names.
    Other arrays are not read. The name of the data set is that of the file. Raises DataError, which
    names the file, when it cannot be read, is damaged, lacks an array or has one that is refused.
    Nothing is unpickled.
    """
    path = Path(path).expanduser()
    try:
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as file:
            arrays = {name: file[name] for name in (*NAMES, "classes") if name in file}
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}") from error
    except MemoryError:
        raise
    except Exception as error:  # wrong bytes can raise almost anything in zip and npy
        raise DataError(
            f"{path} is damaged or no .npz file of numbers; write it with np.savez"
        ) from error
    if missing := [name for name in NAMES if name not in arrays]:
        raise DataError(f"{path} has no array {missing[0]}; it wants {', '.join(NAMES)}")
    classes = arrays.pop("classes", None)
    names = None if classes is None else list(map(str, classes.ravel()))
    try:
        return Images.from_arrays(**arrays, classes=names, name=path.stem, source=str(path))
    except DataError as error:
        raise DataError(f"{path}: {error}") from error
