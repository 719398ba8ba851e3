"""How often an SE block of the tiny net is dead after training: its gates hold for all images.

    python benchmarks/dead_blocks.py [FOLDER] [--seeds 20] [--quick]

The averages that a block sees are never negative, as they come behind a ReLU. A hidden unit is a
random row of w1 times these averages, without a bias. Its sign is often the same for all images.
If all hidden units of a block are negative, ReLU sends no gradient back: nothing but weight decay
moves w1 and w2, and all images get the same gates, 0.5 without biases. With few hidden units this
happens by chance. A block that is nearly dead has gates that move by less than 0.005 between images
(standard deviation, mean over channels).

Each variation trains on 10,000 digits of MNIST for 3 epochs. FOLDER holds the four files; without
it the digits are searched for as ``load_images`` does.
"""

from __future__ import annotations

import argparse

import numpy as np
import report
from loky import get_reusable_executor

from numpy_se.data import DataError, Images, load_images
from numpy_se.gates import collect_gates, gate_deviation
from numpy_se.nets import SqueezeExcite, tiny_net
from numpy_se.train import Options, train

DEAD, NEARLY = 1e-6, 5e-3
VARIATIONS: dict[str, dict[str, object]] = {
    "C / 4 hidden units": {"ratio": 4},
    "with biases": {"ratio": 4, "bias": True},
    "C / 2 hidden units": {"ratio": 2},
    "C / 4, at least 8": {"ratio": 4, "rule": "timm"},
    "the same, with biases": {"ratio": 4, "rule": "timm", "bias": True},
}


def one_run(images: Images, title: str, seed: int, epochs: int) -> tuple[float, list[float]]:
    """Train a net, and give its accuracy and the deviation of the gates in each block."""
    net = tiny_net(None, input_grad=False)
    for number, channels in enumerate((16, 32, 64), start=1):
        block = SqueezeExcite(channels, **VARIATIONS[title])  # type: ignore[arg-type]
        net = net.after(f"relu{number}", **{f"se{number}": block})
    state = train(net, images, Options(epochs=epochs, seed=seed), progress=False)
    gates = collect_gates(net, state.params, images, images.test_images)
    deviations = [float(gate_deviation(s).mean()) for s in gates.values()]
    return float(state.accuracies[-1]), deviations


def main() -> None:
    parser = argparse.ArgumentParser(description="Dead SE blocks of the tiny net.")
    parser.add_argument("folder", nargs="?", help="the four files of MNIST")
    parser.add_argument("--seeds", type=report.positive, default=20)
    parser.add_argument("--quick", action="store_true", help="only see that it runs")
    given = parser.parse_args()
    try:
        images, seeds, epochs = load_images("mnist", given.folder), given.seeds, 3
    except DataError as error:
        parser.error(str(error))
    images = images.subset(100, 100) if given.quick else images.subset(10_000, 2_000)
    if given.quick:
        seeds, epochs = 2, 1
    executor = get_reusable_executor(max_workers=2)
    jobs = {
        (title, seed): executor.submit(one_run, images, title, seed, epochs)
        for seed in range(seeds)
        for title in VARIATIONS
    }
    print(f"{images}; {seeds} seeds, {epochs} epochs")
    print(f"{'':24}{'dead blocks':>16}{'nearly dead':>14}{'accuracy':>18}")
    for title in VARIATIONS:
        runs = [jobs[title, seed].result() for seed in range(seeds)]
        accuracies = 100 * np.array([accuracy for accuracy, _ in runs])
        deviations = np.array([own for _, own in runs])
        dead, nearly = (int((deviations < bar).sum()) for bar in (DEAD, NEARLY))
        low, high = accuracies.min(), accuracies.max()
        print(
            f"{title:24}{dead:8} of {deviations.size}{nearly:14}"
            f"{accuracies.mean():12.2f} % ({low:.2f} to {high:.2f})"
        )


if __name__ == "__main__":
    main()
