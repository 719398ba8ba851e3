"""A data set of images: its arrays, and what a net gets to see of them."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from numpy_se.contract import Array, IntArray, check_count, in_short
from numpy_se.data.arrays import Pixels, as_images, as_labels, count_classes, moments
from numpy_se.data.errors import DataError


@dataclass(frozen=True, eq=False)
class Images:
    """A data set of small images in K classes.

    train_images (N, C, H, W) and test_images are uint8, float32 or float64; train_labels (N,) and
    test_labels are int64 from 0 to K - 1. mean (C,) and std (C,) are those of each channel over the
    training set, in the units of the stored images: from 0 to 255 for MNIST.

    ``name`` is what results must be reported as, ``source`` tells where the images came from,
    ``classes`` names the labels, and ``assumed`` tells what the arrays did not say.
    """

    name: str
    source: str
    classes: tuple[str, ...]
    mean: Array
    std: Array
    train_images: Pixels
    train_labels: IntArray
    test_images: Pixels
    test_labels: IntArray
    assumed: str = ""

    @classmethod
    def from_arrays(
        cls,
        x_train: Pixels,
        y_train: IntArray,
        x_test: Pixels,
        y_test: IntArray,
        *,
        name: str = "own images",
        source: str = "arrays",
        classes: Sequence[str] | None = None,
    ) -> Images:
        """Make a data set of your own arrays. They are not copied.

        x_train (N, C, H, W), or (N, H, W) for grey images, is uint8, float32 or float64 on any
        scale; x_test has the same dtype and images of the same shape. y_train (N,) or (N, 1) holds
        whole numbers from 0 to K - 1, each of them at least once; y_test no other ones. ``classes``
        are K names. Raises DataError for everything else.
        """
        train_images, test_images = as_images("x_train", x_train), as_images("x_test", x_test)
        if test_images.dtype != train_images.dtype:
            raise DataError(
                f"x_test is {x_test.dtype}; it wants {x_train.dtype}, the dtype of x_train"
            )
        if test_images.shape[1:] != train_images.shape[1:]:
            raise DataError(
                f"x_test has images of shape {x_test.shape[1:]}; "
                f"it wants {x_train.shape[1:]} as in x_train"
            )
        train_labels = as_labels("y_train", y_train, len(train_images))
        test_labels = as_labels("y_test", y_test, len(test_images))
        count = count_classes("y_train", train_labels)
        if strange := set(test_labels.tolist()) - set(range(count)):
            raise DataError(f"y_test has the label {min(strange)}, which y_train has not")
        if isinstance(classes, str) or not (classes is None or hasattr(classes, "__len__")):
            raise DataError(f"classes is {in_short(classes)}; it wants a list of {count} names")
        if classes is not None and len(classes) != count:
            raise DataError(f"classes has {len(classes)} names; y_train has {count} classes")
        mean, std = moments("x_train", train_images)
        channels, height, width = train_images.shape[1:]
        assumed = {
            f"the {channels} channels are on axis 1": width < 3 < min(channels, height),
            "without an axis for channels, images are grey": x_train.ndim == 3,
            "labels (N, 1) stand for (N,)": y_train.ndim == 2,
            "a constant channel becomes 0": (std == 0).any(),
        }
        return cls(
            name=name,
            source=source,
            classes=tuple(map(str, range(count) if classes is None else classes)),
            mean=mean,
            std=np.where(std == 0, 1.0, std),
            train_images=train_images,
            train_labels=train_labels,
            test_images=test_images,
            test_labels=test_labels,
            assumed=", ".join(words for words, true in assumed.items() if true),
        )

    def __str__(self) -> str:
        sizes = " x ".join(map(str, self.shape))
        counts = f"{len(self.train_images):,} + {len(self.test_images):,} images of {sizes}"
        assumed = f" (assumed: {self.assumed})" if self.assumed else ""
        return f"{self.name}, {counts}, {len(self.classes)} classes, from {self.source}{assumed}"

    @property
    def shape(self) -> tuple[int, int, int]:
        """The shape (C, H, W) of one image."""
        channels, height, width = self.train_images.shape[1:]
        return channels, height, width

    @cached_property
    def sha256(self) -> str:
        """The SHA-256 of the four arrays, which tells data sets of the same name apart."""
        checksum = hashlib.sha256()
        for array in (self.train_images, self.train_labels, self.test_images, self.test_labels):
            checksum.update(f"{array.dtype}{array.shape}".encode())
            checksum.update(np.ascontiguousarray(array).data)
        return checksum.hexdigest()

    def inputs(self, images: Pixels, dtype: Any = np.float32) -> Array:
        """Convert stored images to ``dtype``, with mean 0 and deviation 1 per channel.

        This holds over the training set; a channel that is constant there becomes 0. Raises
        DataError unless the images (N, C, H, W) are stored as the training images are.
        """
        got, wanted = ((a.dtype, a.shape[1:]) for a in (images, self.train_images))
        if got != wanted or images.ndim != 4:
            want = f"{wanted[0]} and (N, {', '.join(map(str, wanted[1]))})"
            raise DataError(
                f"images are {got[0]} of shape {images.shape}; they want {want}, as {self.name} has"
            )
        precise = np.result_type(images, dtype)
        mean, std = (a.astype(precise)[:, None, None] for a in (self.mean, self.std))
        normalised: Array = ((images - mean) / std).astype(dtype, copy=False)
        return normalised

    def subset(self, train: int, test: int) -> Images:
        """Keep the first ``train`` training images, and ``test`` test images spread evenly.

        Evenly, as the first half of MNIST's test set is easier than the second. A number above the
        size of a set keeps all of it. Mean and deviation stay. Raises ValueError for numbers below
        1, and TypeError for what is no whole number.
        """
        check_count("subset", "train", train, at_least=1)
        check_count("subset", "test", test, at_least=1)
        size = len(self.test_labels)
        count = min(test, size)
        spread = np.arange(count) * size // count
        return replace(
            self,
            train_images=self.train_images[:train],
            train_labels=self.train_labels[:train],
            test_images=self.test_images[spread],
            test_labels=self.test_labels[spread],
        )
