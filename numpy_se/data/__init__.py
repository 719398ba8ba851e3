"""Images to train on: real digits, a task made for SE, or your own.

    digits = load_images()
    x = digits.inputs(digits.train_images[:128])        # (128, 1, 28, 28), float32, normalised

``Images.from_arrays`` makes a data set of arrays, and ``read_npz`` one of an .npz file.
"""

from numpy_se.data.arrays import Pixels
from numpy_se.data.catalogue import DATASETS, Dataset, IdxFile
from numpy_se.data.cued import SIGN_NAMES, cued_digits, read_signs
from numpy_se.data.errors import DataError
from numpy_se.data.idx import read_idx
from numpy_se.data.images import Images
from numpy_se.data.npz import read_npz
from numpy_se.data.search import DATASET_NAMES, cache_folder, load_images

__all__ = [
    "DATASETS",
    "DATASET_NAMES",
    "SIGN_NAMES",
    "DataError",
    "Dataset",
    "IdxFile",
    "Images",
    "Pixels",
    "cache_folder",
    "cued_digits",
    "load_images",
    "read_idx",
    "read_npz",
    "read_signs",
]
