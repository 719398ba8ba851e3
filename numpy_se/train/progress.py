"""Show how far a training run is: a line for each epoch and, on a terminal, a bar."""

from __future__ import annotations

import time
from contextlib import AbstractContextManager
from typing import Any

from numpy_se.train.checkpoint import State


class Progress(AbstractContextManager["Progress"]):
    """Watch a run over ``images`` images per epoch that goes on from ``state``.

    The bar needs tqdm. Without it, and where the output is no terminal, the lines are all.
    """

    def __init__(self, state: State, images: int, batch_size: int) -> None:
        self.images, self.batch_size, self.epochs = images, batch_size, len(state.accuracies)
        self.steps_per_epoch = len(state.losses) // self.epochs
        self.epoch_start, self.seen_before = time.perf_counter(), self._seen(state.step)
        self.bar: Any = None
        try:
            from tqdm import tqdm
        except ImportError:
            print("no progress bar, as tqdm is absent: pip install tqdm")
        else:
            total, seen = images * self.epochs, self.seen_before
            self.bar = tqdm(
                total=total, initial=seen, unit=" images", unit_scale=True, disable=None
            )

    def __exit__(self, *error: object) -> None:
        if self.bar is not None:
            self.bar.close()

    def update(self, state: State) -> None:
        """Take note of the state after one more step."""
        epoch = (state.step - 1) // self.steps_per_epoch
        title, seen = f"epoch {epoch + 1}/{self.epochs}", self._seen(state.step)
        if self.bar is not None:
            self.bar.set_description(title, refresh=False)
            self.bar.set_postfix(loss=f"{state.losses[state.step - 1]:.4f}", refresh=False)
            self.bar.update(seen - self._seen(state.step - 1))
        if state.step % self.steps_per_epoch == 0:
            speed = (seen - self.seen_before) / (time.perf_counter() - self.epoch_start)
            loss = state.losses[state.step - self.steps_per_epoch : state.step].mean()
            line = (
                f"{title}   loss {loss:.4f}   "
                f"test accuracy {100 * state.accuracies[epoch]:.2f} %   {speed:,.0f} images/s"
            )
            print(line, flush=True) if self.bar is None else self.bar.write(line)
            self.epoch_start, self.seen_before = time.perf_counter(), seen

    def _seen(self, step: int) -> int:
        """Compute how many images the first ``step`` steps have drawn."""
        epoch, batch = divmod(step, self.steps_per_epoch)
        return epoch * self.images + batch * self.batch_size
