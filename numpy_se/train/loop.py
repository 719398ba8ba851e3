"""The training loop: draw a batch, run the net forward and backward, update the parameters."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import nullcontext
from dataclasses import dataclass

import numpy as np

from numpy_se.blas import one_blas_thread
from numpy_se.contract import Array, IntArray, check_count, check_number, in_short
from numpy_se.data import Images, Pixels
from numpy_se.nets import Layer, Params
from numpy_se.ops import softmax_cross_entropy
from numpy_se.optim import SGD, Rule, one_cycle
from numpy_se.parallel import add_up, chunks, in_order, workers
from numpy_se.train.checkpoint import State
from numpy_se.train.progress import Progress

RULE = SGD(momentum=0.9, weight_decay=5e-4)
MICROBATCH = 64  # images that go through a net at a time: their maps stay in the cache


@dataclass(frozen=True)
class Options:
    """The settings of a run. Raises ValueError or TypeError for one that is out of its range.

    ``epochs`` passes over the training set; None stands for 100,000 / images, rounded up, at least
    5. ``lr`` is the peak of the one-cycle schedule. The seed decides the first parameters and the
    order of the images. ``workers`` is the number of threads that share each batch; the same number
    gives the same bits.
    """

    epochs: int | None = None
    batch_size: int = 64
    lr: float = 0.05
    seed: int = 0
    workers: int = 1

    def __post_init__(self) -> None:
        if self.epochs is not None:
            check_count("options", "epochs", self.epochs, at_least=1)
        check_count("options", "batch_size", self.batch_size, at_least=1)
        check_count("options", "seed", self.seed, at_least=0)
        check_count("options", "workers", self.workers, at_least=1)
        check_number("options", "lr", self.lr)
        if not 0 < self.lr < math.inf:
            raise ValueError(f"options: lr is {self.lr}; it wants a positive number")

    def epochs_for(self, images: int) -> int:
        """Compute the number of epochs for a training set of so many images."""
        return self.epochs or max(5, math.ceil(100_000 / images))


DEFAULT_OPTIONS = Options()


class DivergedError(ArithmeticError):
    """The loss is no longer a number."""


def initial_state(
    net: Layer, data: Images, options: Options = DEFAULT_OPTIONS, rule: Rule = RULE
) -> State:
    """Build the state before the first step, with parameters drawn from ``options.seed``."""
    params = net.init(np.random.default_rng(options.seed))
    images = len(data.train_images)
    epochs = options.epochs_for(images)
    return State(
        step=0,
        params=params,
        rule_state=rule.init({name: params[name] for name in net.names}),
        losses=np.full(epochs * math.ceil(images / options.batch_size), np.nan),
        accuracies=np.full(epochs, np.nan),
    )


def loss_and_grads(
    net: Layer,
    params: Mapping[str, Array],
    x: Array,
    labels: IntArray,
    rng: np.random.Generator,
) -> tuple[float, Params, Params]:
    """Compute the mean loss of a batch in training, its gradients, and the statistics it leaves.

    The batch goes through the net in parts, forward and backward, so that the maps of a part stay
    in the cache and ``parallel.workers`` can share the parts. The mean over N samples is the sum of
    the means over parts, each times its share n/N, and so are its gradients. They are summed in the
    order of the parts. A net that wants whole batches gets them in one part, and the workers share
    the work inside its operations.

    x (N, C, H, W), labels (N,); ``rng`` draws the noise of the net. Raises TypeError when x is no
    array, ValueError when it is empty or has not one label for each image, and what the net raises.
    """
    if not isinstance(x, np.ndarray):
        raise TypeError(f"loss_and_grads: x is {in_short(x)}; it wants images (N, C, H, W)")
    if not x.size or not x.ndim:
        raise ValueError(f"loss_and_grads: x has shape {x.shape}; it wants images (N, C, H, W)")
    if np.shape(labels) != (len(x),):
        got = f"loss_and_grads: labels has shape {np.shape(labels)}"
        raise ValueError(f"{got}; it wants ({len(x)},), one for each image of x")
    seen: Params = {}

    def share(part: slice) -> list[Array]:
        logits, backward_net, statistics = net.train(params, x[part], rng)
        seen.update(statistics)
        loss, backward_loss = softmax_cross_entropy(logits, labels[part])
        weight = len(logits) / len(x)
        _, grads = backward_net(backward_loss(weight))
        return [np.asarray(weight * loss), *(grads[name] for name in net.names)]

    whole = [slice(0, len(x))]
    parts = whole if net.whole_batch else chunks(len(x), math.ceil(len(x) / MICROBATCH))
    loss, *grads = add_up(in_order(share, parts))
    return float(loss), dict(zip(net.names, grads, strict=True)), seen


def training(
    net: Layer, data: Images, options: Options, rule: Rule, state: State
) -> Iterator[State]:
    """Go on from ``state`` to the end of the run, and yield the state after every step.

    A state that was yielded stays as it is, and the steps after it depend on nothing else. So a run
    that goes on from a saved state gives bit for bit what it would have given without the stop.
    Raises DivergedError when the loss is not finite, or a parameter at the end of an epoch, and
    ValueError when ``state`` is of another net or rule, or of a run of another length.
    """
    images, steps = len(data.train_images), len(state.losses)
    starts = range(0, images, options.batch_size)
    epochs = options.epochs_for(images)
    if (len(state.accuracies), steps) != (epochs, epochs * len(starts)):
        raise ValueError(
            f"training: state is of {len(state.accuracies)} epochs and {steps} steps; "
            f"the options want {epochs} epochs and {epochs * len(starts)} steps"
        )
    trained = {name: state.params[name] for name in net.names if name in state.params}
    for title, own, wanted in [
        ("params", state.params, {*net.names, *net.statistics}),
        ("rule_state", state.rule_state, set(rule.init(trained))),
    ]:
        if wrong := own.keys() ^ wanted:
            what = "has" if min(wrong) in own else "lacks"
            raise ValueError(f"training: state.{title} {what} {min(wrong)}: it is of another run")
    for epoch in range(state.step // len(starts), len(state.accuracies)):
        rng = np.random.default_rng([options.seed, epoch + 1])  # [seed, 0] drew the weights
        order = rng.permutation(images)
        for start in starts[state.step % len(starts) :]:
            rows = order[start : start + options.batch_size]
            x, labels = data.inputs(data.train_images[rows]), data.train_labels[rows]

            quiet = np.errstate(over="ignore", invalid="ignore")  # the loss tells
            with workers(options.workers), quiet:
                # A list that ends in 0 is the same seed as the list without it, that of the order.
                noise = np.random.default_rng([options.seed, epoch + 1, start + 1])
                loss, grads, seen = loss_and_grads(net, state.params, x, labels, noise)
                if not math.isfinite(loss):
                    raise DivergedError(f"the loss is {loss} at step {state.step + 1}; lower lr")
                lr = one_cycle(state.step, steps, options.lr)
                params, rule_state = rule.step(state.params, grads, state.rule_state, lr)
                params |= seen

                losses, accuracies = state.losses.copy(), state.accuracies.copy()
                losses[state.step] = loss
                if start == starts[-1]:
                    if not all(np.isfinite(array).all() for array in params.values()):
                        raise DivergedError(
                            f"params are not finite at step {state.step + 1}; lower lr"
                        )
                    accuracies[epoch] = accuracy(net, params, data)
            state = State(state.step + 1, params, rule_state, losses, accuracies)
            yield state


def predict(net: Layer, params: Mapping[str, Array], data: Images, images: Pixels) -> IntArray:
    """Compute the most likely label (N,) of each of the images (N, C, H, W) of a data set.

    Raises ValueError where there is none.
    """
    check_count("predict", "the number of images", len(images), at_least=1)
    parts = chunks(len(images), math.ceil(len(images) / MICROBATCH))
    logits = in_order(lambda part: net(params, data.inputs(images[part]))[0], parts)
    labels: IntArray = np.concatenate(logits).argmax(axis=1)
    return labels


def accuracy(net: Layer, params: Mapping[str, Array], data: Images) -> float:
    """Compute the share of test images that get the right label, from 0 to 1."""
    hits = predict(net, params, data, data.test_images) == data.test_labels
    return float(hits.mean())


def train(
    net: Layer,
    data: Images,
    options: Options = DEFAULT_OPTIONS,
    *,
    rule: Rule = RULE,
    state: State | None = None,
    save: Callable[[State], None] | None = None,
    progress: bool = True,
) -> State:
    """Train ``net`` to the end of the run and return the last state.

    Goes on from ``state`` where one is given. ``save`` is called with the state at the start, after
    every epoch, and on Ctrl-C, which is raised again. With ``progress``, prints a line for each
    epoch and, on a terminal, shows a bar (needs tqdm). ``options.workers`` threads share the work;
    BLAS has one thread where threadpoolctl is installed. Raises TypeError for arguments of another
    type, and what ``training`` raises.
    """
    for name, value, kind in [("net", net, Layer), ("data", data, Images)]:
        if not isinstance(value, kind):
            raise TypeError(f"train: {name} is {in_short(value)}; it wants {kind.__name__}")
    if not isinstance(options, Options):
        raise TypeError(f"train: options is {in_short(options)}; it wants Options(epochs=5, ...)")
    if isinstance(rule, type) or not hasattr(rule, "step"):
        raise TypeError(f"train: rule is {in_short(rule)}; it wants a rule, such as SGD()")
    if not isinstance(state, State | None):
        raise TypeError(f"train: state is {in_short(state)}; it wants a State, as train gives it")
    state = state or initial_state(net, data, options, rule)
    save = save or (lambda state: None)
    steps_per_epoch = len(state.losses) // len(state.accuracies)
    images = len(data.train_images)
    watch = Progress(state, images, options.batch_size) if progress else nullcontext()
    with one_blas_thread(), watch as shown:
        try:
            save(state)
            for state in training(net, data, options, rule, state):  # noqa: B020
                if shown:
                    shown.update(state)
                if state.step % steps_per_epoch == 0:
                    save(state)
        except KeyboardInterrupt:
            save(state)
            raise
    return state
