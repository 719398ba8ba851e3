"""Train the same SE-ResNet here and in PyTorch, and compare the accuracies.

    python benchmarks/resnet_accuracy.py FOLDER [--seeds 3] [--depth 20] [--quick]

FOLDER holds the four files of Fashion-MNIST. Both nets see the first 10,000 training images and
start from the same weights. Batches, their order, the schedule and the update rule are the same,
float32. The accuracy is that on all 10,000 test images. After some steps rounding has driven the
two runs apart, so what can be compared is the spread over the seeds. Needs torch.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import report

from numpy_se.data import DataError, Images, load_images
from numpy_se.nets import se_resnet
from numpy_se.optim import one_cycle
from numpy_se.train import Options, accuracy, train
from numpy_se.train.loop import RULE

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))


def ours(images: Images, depth: int, options: Options) -> float:
    """Train here, and give the accuracy."""
    net = se_resnet(depth, 4, input_grad=False)
    few = images.subset(len(images.train_images), 1_000)  # each epoch is tested on few images
    params = train(net, few, options, progress=False).params
    return accuracy(net, params, images)


def theirs(images: Images, depth: int, options: Options) -> float:
    """Train in PyTorch, from the same weights and with the same batches, and give the accuracy."""
    import torch
    from se_resnet_torch import F, se_resnet_torch

    torch.set_num_threads(1)
    net = se_resnet(depth, 4)
    params = net.init(np.random.default_rng(options.seed))
    tensors = {name: torch.tensor(array) for name, array in params.items()}
    trained = [tensors[name].requires_grad_() for name in net.names]
    groups = [
        {"params": [t for t in trained if t.ndim > 1], "weight_decay": RULE.weight_decay},
        {"params": [t for t in trained if t.ndim == 1], "weight_decay": 0.0},
    ]
    rule = torch.optim.SGD(groups, lr=options.lr, momentum=RULE.momentum)
    count = len(images.train_images)
    starts = range(0, count, options.batch_size)
    epochs = options.epochs_for(count)
    step = 0
    for epoch in range(epochs):
        order = np.random.default_rng([options.seed, epoch + 1]).permutation(count)
        for start in starts:
            rows = order[start : start + options.batch_size]
            x = torch.from_numpy(images.inputs(images.train_images[rows]))
            for group in rule.param_groups:
                group["lr"] = one_cycle(step, epochs * len(starts), options.lr)
            rule.zero_grad()
            logits = se_resnet_torch(tensors, x, depth, training=True)
            F.cross_entropy(logits, torch.from_numpy(images.train_labels[rows])).backward()
            rule.step()
            step += 1
    hits = 0
    with torch.no_grad():
        for start in range(0, len(images.test_images), 500):
            part = slice(start, start + 500)
            x = torch.from_numpy(images.inputs(images.test_images[part]))
            answers = se_resnet_torch(tensors, x, depth, training=False).argmax(dim=1).numpy()
            hits += int((answers == images.test_labels[part]).sum())
    return hits / len(images.test_images)


def main() -> None:
    parser = argparse.ArgumentParser(description="The accuracy of an SE-ResNet beside PyTorch's.")
    parser.add_argument("folder", type=Path, help="the four files of Fashion-MNIST")
    parser.add_argument("--seeds", type=report.positive, default=3)
    parser.add_argument("--depth", type=report.positive, default=20)
    parser.add_argument("--quick", action="store_true", help="only see that it runs")
    given = parser.parse_args()
    try:
        se_resnet(given.depth)
        images, epochs, seeds = load_images("fashion", given.folder), 6, given.seeds
    except (DataError, ValueError) as error:
        parser.error(str(error))
    images = images.subset(100, 100) if given.quick else images.subset(10_000, 10_000)
    if given.quick:
        epochs, seeds = 1, 1
    print(f"{images}; SE-ResNet-{given.depth}, {epochs} epochs")
    results: dict[str, list[float]] = {"numpy_se": [], "PyTorch": []}
    for seed in range(seeds):
        options = Options(epochs=epochs, lr=0.1, seed=seed)
        runs: list[tuple[str, Any]] = [("numpy_se", ours), ("PyTorch", theirs)]
        for title, run in runs:
            begin = time.perf_counter()
            results[title].append(100 * run(images, given.depth, options))
            seconds = time.perf_counter() - begin
            print(f"{title:9} seed {seed}: {results[title][-1]:.2f} %, {seconds:.0f} s", flush=True)
    for title, accuracies in results.items():
        low, high = min(accuracies), max(accuracies)
        print(f"{title:9} mean {np.mean(accuracies):.2f} %, from {low:.2f} to {high:.2f}")


if __name__ == "__main__":
    main()
