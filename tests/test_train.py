"""Training: it learns, repeats itself bit for bit, stops and goes on, and refuses what is wrong."""

import json
import os
import platform
import re
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pytest
from digits_on_disk import TRAIN, contents, register, write
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import numpy_se as se
from numpy_se import data
from numpy_se.figures import class_gates, learning_curves, sample_images
from numpy_se.files import write_atomically
from numpy_se.gates import class_means, class_range, collect_gates
from numpy_se.nets import Dropout, Layer, se_resnet, tiny_net
from numpy_se.optim import Adam, one_cycle
from numpy_se.parallel import workers
from numpy_se.train import (
    DivergedError,
    Options,
    State,
    accuracy,
    initial_state,
    predict,
    train,
    training,
)
from numpy_se.train import checkpoint as checkpoint_module
from numpy_se.train import run as run_module
from numpy_se.train.__main__ import main
from numpy_se.train.checkpoint import (
    CheckpointError,
    load_about,
    load_state,
    save_checkpoint,
)
from numpy_se.train.loop import RULE, loss_and_grads

OPTIONS = Options(epochs=3, batch_size=16, lr=0.05, seed=3)
RESNET = se_resnet(8, 2, 2).after("pool", noise=Dropout(0.2))


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of the small data set; the test runs beside it."""
    register(monkeypatch, contents())
    write(tmp_path / "files", contents())
    monkeypatch.setenv("NUMPY_SE_DATA", str(tmp_path / "files"))
    monkeypatch.chdir(tmp_path)
    return tmp_path / "files"


@pytest.fixture
def digits(folder: Path) -> data.Images:
    return data.load_images(folder=folder)


def assert_same(first: State, second: State) -> None:
    """The two states are equal bit for bit."""
    assert first.step == second.step
    np.testing.assert_array_equal(first.losses, second.losses)
    np.testing.assert_array_equal(first.accuracies, second.accuracies)
    for ours, theirs in [(first.params, second.params), (first.rule_state, second.rule_state)]:
        assert list(ours) == list(theirs)
        for key in ours:
            np.testing.assert_array_equal(ours[key], theirs[key])


def test_training_learns(digits: data.Images, capsys: Any) -> None:
    state = train(tiny_net(), digits, Options(epochs=30, batch_size=10, lr=0.05))
    assert state.accuracies[-1] == 1.0
    assert state.losses[-5:].mean() < 0.1 < state.losses[0]
    out = capsys.readouterr().out
    assert out.count("test accuracy") == 30
    assert "epoch 30/30   loss 0.0" in out


@pytest.mark.parametrize("ratio", [4, None])
@pytest.mark.parametrize("count", [1, 3])
def test_the_same_seed_and_workers_give_the_same_bits(
    digits: data.Images, ratio: Any, count: int
) -> None:
    options = replace(OPTIONS, workers=count)
    first, second = (train(tiny_net(ratio), digits, options, progress=False) for _ in range(2))
    assert_same(first, second)


@settings(max_examples=20)
@given(
    images=st.integers(1, 12),
    microbatch=st.integers(1, 12),
    count=st.integers(1, 4),
    ratio=st.sampled_from([4, None]),
    seed=st.integers(0, 99),
)
def test_gradients_of_the_parts_sum_to_those_of_the_batch(
    images: int, microbatch: int, count: int, ratio: Any, seed: int
) -> None:
    net, rng = tiny_net(ratio), np.random.default_rng(seed)
    params = net.init(rng, np.float64)
    x, labels = rng.standard_normal((images, 1, 28, 28)), rng.integers(0, 10, images)
    logits, backward = net(params, x)
    loss, backward_loss = se.softmax_cross_entropy(logits, labels)
    _, grads = backward(backward_loss(1.0))
    with mock.patch("numpy_se.train.loop.MICROBATCH", microbatch), workers(count):
        loss_of_parts, grads_of_parts, _ = loss_and_grads(net, params, x, labels, rng)
    assert loss_of_parts == pytest.approx(loss, rel=1e-12)
    assert list(grads_of_parts) == list(params)
    for name, grad in grads_of_parts.items():
        scale = np.abs(grads[name]).max()
        np.testing.assert_allclose(grad, grads[name], rtol=1e-10, atol=1e-12 * scale)


@pytest.mark.parametrize("net", [tiny_net(), RESNET], ids=["tiny", "resnet"])
@pytest.mark.parametrize("count", [63, 65, 1])
def test_a_batch_wants_a_label_for_each_image(net: Any, count: int) -> None:
    """Also where the batch goes through the net in parts."""
    params, rng = net.init(np.random.default_rng(0)), np.random.default_rng(0)
    x = np.zeros((64, 1, 28, 28), np.float32)
    wanted = rf"labels has shape \({count},\); it wants \(64,\), one for each image of x"
    with mock.patch("numpy_se.train.loop.MICROBATCH", 16), pytest.raises(ValueError, match=wanted):
        loss_and_grads(net, params, x, np.zeros(count, int), rng)
    with pytest.raises(ValueError, match=r"labels has shape \(64, 1\)"):
        loss_and_grads(net, params, x, np.zeros((64, 1), int), rng)
    with pytest.raises(ValueError, match=r"x has shape \(0, 1, 28, 28\); it wants images"):
        loss_and_grads(net, params, x[:0], np.zeros(0, int), rng)
    with pytest.raises(TypeError, match=r"x is None; it wants images"):
        loss_and_grads(net, params, None, np.zeros(0, int), rng)  # type: ignore[arg-type]


@pytest.mark.parametrize("net", [tiny_net(), RESNET], ids=["tiny", "resnet"])
def test_workers_change_a_run_by_rounding_only(digits: data.Images, net: Any) -> None:
    one, two = (
        train(net, digits, replace(OPTIONS, workers=count), progress=False) for count in (1, 2)
    )
    np.testing.assert_allclose(two.losses, one.losses, rtol=1e-3)


def test_statistics_and_noise_belong_to_the_state(digits: data.Images) -> None:
    """A run with batch norm and dropout goes on from any step to the same bits."""
    whole = train(RESNET, digits, OPTIONS, progress=False)
    assert set(whole.params) == {*RESNET.names, *RESNET.statistics}
    begin = initial_state(RESNET, digits, OPTIONS)
    assert not any(name in key for name in RESNET.statistics for key in begin.rule_state)
    *_, middle = islice(training(RESNET, digits, OPTIONS, RULE, begin), 5)
    assert (middle.params["norm.mean"] != begin.params["norm.mean"]).all()
    assert_same(train(RESNET, digits, OPTIONS, state=middle, progress=False), whole)
    other = train(RESNET, digits, replace(OPTIONS, seed=1), state=begin, progress=False)
    assert (other.losses != whole.losses).any()


def test_a_net_that_wants_whole_batches_gets_them(digits: data.Images) -> None:
    params = RESNET.init(np.random.default_rng(0), np.float64)
    x, labels = digits.inputs(digits.train_images, np.float64), digits.train_labels
    logits, backward, after = RESNET.train(params, x, np.random.default_rng(3))
    loss, backward_loss = se.softmax_cross_entropy(logits, labels)
    with mock.patch("numpy_se.train.loop.MICROBATCH", 7), workers(2):
        ours = loss_and_grads(RESNET, params, x, labels, np.random.default_rng(3))
    assert ours[0] == pytest.approx(loss, rel=1e-12)
    grads = backward(backward_loss(1.0))[1]
    for got, wanted in ((ours[1], grads), (ours[2], after)):
        assert got.keys() == wanted.keys()
        for name, array in wanted.items():
            scale = np.abs(array).max()
            np.testing.assert_allclose(got[name], array, rtol=1e-10, atol=1e-12 * scale)


def test_a_run_goes_on_with_another_number_of_workers(folder: Path, capsys: Any) -> None:
    _, out = run("--workers", "2")
    assert json.loads((out / "history.json").read_text())["settings"]["workers"] == 2
    assert main(["--resume", str(out), "--workers", "1"]) == 0
    assert main(["--resume", str(out), "--workers", "0"]) == 1
    assert "workers is 0; it wants at least 1" in capsys.readouterr().err


@pytest.mark.parametrize("rule", [None, Adam()])
def test_every_saved_state_goes_on_to_the_same_end(
    digits: data.Images, tmp_path: Path, rule: Any
) -> None:
    net, rules = tiny_net(), {} if rule is None else {"rule": rule}
    whole = train(net, digits, OPTIONS, progress=False, **rules)
    steps = len(whole.losses)
    assert steps == 3 * 4  # 50 images in batches of 16, 16, 16 and 2
    begin = initial_state(net, digits, OPTIONS, **rules)
    for state in [begin, *training(net, digits, OPTIONS, rule or RULE, begin)]:
        if state.step in (0, 1, 4, 5, 11, 12):
            save_checkpoint(tmp_path / "c.npz", state, {})
            loaded = load_state(tmp_path / "c.npz", begin)
            assert_same(loaded, state)
            assert_same(train(net, digits, OPTIONS, state=loaded, progress=False, **rules), whole)


def test_ctrl_c_saves_the_last_whole_step(digits: data.Images) -> None:
    saved: list[State] = []

    class Interrupting(Adam):
        def step(self, params: Any, grads: Any, state: Any, lr: float) -> Any:
            if state["t"] == 6:
                raise KeyboardInterrupt
            return super().step(params, grads, state, lr)

    with pytest.raises(KeyboardInterrupt):
        train(tiny_net(), digits, OPTIONS, rule=Interrupting(), save=saved.append)
    assert [state.step for state in saved] == [0, 4, 6]
    last = train(tiny_net(), digits, OPTIONS, rule=Adam(), state=saved[-1], progress=False)
    assert_same(last, train(tiny_net(), digits, OPTIONS, rule=Adam(), progress=False))


def test_the_last_state_is_that_of_its_accuracy(digits: data.Images) -> None:
    """One step changes the answers; the accuracy is that of the parameters after it."""
    net = tiny_net()
    options = Options(epochs=2, batch_size=len(digits.train_images), lr=0.5)
    begin = initial_state(net, digits, options)
    states = [begin, *training(net, digits, options, RULE, begin)]
    right = [accuracy(net, state.params, digits) for state in states]
    assert len(set(right)) == 3
    assert states[-1].accuracies.tolist() == right[1:]


def test_the_noise_of_every_step_is_its_own(digits: data.Images) -> None:
    """And it is not what decides the order of the images."""
    drawn: list[int] = []

    class Noise(Layer):
        def __call__(self, params: Any, x: Any) -> Any:
            return x.copy(), lambda dy: (dy, {})

        def train(self, params: Any, x: Any, rng: Any) -> Any:
            drawn.append(int(rng.integers(2**62)))
            return (*self(params, x), {})

    train(tiny_net().after("flatten", noise=Noise()), digits, OPTIONS, progress=False)
    orders = [np.random.default_rng([OPTIONS.seed, k]).integers(2**62) for k in range(9)]
    assert len(drawn) == len(set(drawn)) == 12
    assert not {*drawn} & {*map(int, orders)}


def test_a_divergence_in_the_last_step_is_reported(digits: data.Images) -> None:
    options = Options(epochs=1, batch_size=len(digits.train_images), lr=1e40)
    with pytest.raises(DivergedError, match="params are not finite at step 1; lower lr"):
        train(tiny_net(), digits, options, progress=False)


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        (lambda a: a | {"net": None}, TypeError, "train: net is None; it wants Layer"),
        (lambda a: a | {"data": "my.npz"}, TypeError, "train: data is 'my.npz'; it wants Images"),
        (
            lambda a: a | {"options": {}},
            TypeError,
            r"train: options is {}; it wants Options\(epoch",
        ),
        (lambda a: a | {"rule": "adam"}, TypeError, "train: rule is 'adam'; it wants a rule, such"),
        (
            lambda a: a | {"rule": Adam},
            TypeError,
            "train: rule is .*; it wants a rule, such as SGD",
        ),
        (lambda a: a | {"state": {}}, TypeError, "train: state is {}; it wants a State"),
        (lambda a: a | {"rule": RULE}, ValueError, "training: state.rule_state .* of another run"),
        (
            lambda a: a | {"net": tiny_net(None)},
            ValueError,
            r"state\.params has se1\.w1: it is of an",
        ),
    ],
)
def test_arguments_of_another_kind_are_refused(
    change: Any, error: Any, words: str, digits: data.Images
) -> None:
    state = initial_state(tiny_net(), digits, OPTIONS, Adam())
    given = {"net": tiny_net(), "data": digits, "options": OPTIONS, "rule": Adam(), "state": state}
    with pytest.raises(error, match=words):
        train(**change(given), progress=False)


def test_divergence_is_reported(digits: data.Images) -> None:
    with pytest.raises(DivergedError, match=r"the loss is .* at step \d+; lower lr"):
        train(tiny_net(), digits, Options(epochs=30, batch_size=16, lr=1e6), progress=False)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"epochs": 0}, "epochs is 0; it wants at least 1"),
        ({"batch_size": 0}, "batch_size is 0; it wants at least 1"),
        ({"lr": 0.0}, "lr is 0.0; it wants a positive number"),
        ({"lr": float("nan")}, "lr is nan"),
        ({"seed": -1}, "seed is -1; it wants at least 0"),
        ({"workers": 0}, "workers is 0; it wants at least 1"),
    ],
)
def test_options_out_of_range_are_refused(options: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Options(**options)


def test_small_data_gets_more_epochs() -> None:
    assert [Options().epochs_for(n) for n in (60_000, 20_000, 4_000)] == [5, 5, 25]
    assert Options(epochs=2).epochs_for(4_000) == 2


def run(*arguments: str) -> tuple[int, Path]:
    """Run the command in this process, for two epochs unless told otherwise."""
    out = Path("out")
    if "--resume" not in arguments:
        arguments = ("--epochs", "2", "--batch-size", "16", "--out", str(out), *arguments)
    return main(arguments), out


def test_the_command_leaves_parameters_history_and_figures(folder: Path, capsys: Any) -> None:
    pytest.importorskip("matplotlib")
    status, out = run()
    assert status == 0
    files = ["checkpoint.npz", "gates.png", "history.json", "images.png"]
    files += ["learning_curves.png", "params.npz"]
    assert sorted(path.name for path in out.iterdir()) == files
    with np.load(out / "params.npz") as saved:
        params = dict(saved)
    history = json.loads((out / "history.json").read_text())
    digits = data.load_images(folder=folder)
    logits = tiny_net()(params, digits.inputs(digits.test_images))[0]
    accuracy = np.mean(logits.argmax(axis=1) == digits.test_labels)
    assert history["test_accuracy"][-1] == accuracy
    assert len(history["train_loss"]) == 2
    assert len(history["train_loss_of_every_step"]) == 8
    assert history["data"] == "MNIST"
    assert history["parameters"] == 31_882
    assert history["versions"]["numpy"] == np.__version__
    assert f"final test accuracy {100 * accuracy:.2f} % on MNIST" in capsys.readouterr().out


def save_own(path: str, seed: int = 0, classes: int = 12) -> None:
    """Own images of another shape, in two channels of floats; the test set lacks a class."""
    rng = np.random.default_rng(seed)
    y_train, y_test = np.arange(48) % classes, np.arange(20) % (classes - 1) + 1
    x_train, x_test = (rng.random((len(y), 2, 16, 24)) for y in (y_train, y_test))
    np.savez(path, x_train=x_train, y_train=y_train, x_test=x_test, y_test=y_test)


def test_the_command_trains_on_own_images(folder: Path, capsys: Any) -> None:
    pytest.importorskip("matplotlib")
    save_own("leaves.npz")
    status, out = run("--data", "leaves.npz")
    printed = capsys.readouterr().out
    assert status == 0
    line = "data: leaves, 48 + 20 images of 2 x 16 x 24, 12 classes, from leaves.npz\n"
    assert printed.startswith(line)
    assert "the net has not learned (one answer for all is right in 10 %): lower --lr" in printed
    assert (out / "gates.png").exists()
    history = json.loads((out / "history.json").read_text())
    assert history["sha256"] == data.read_npz("leaves.npz").sha256

    assert run_module.resume_run(out, {}).data.sha256 == history["sha256"]
    save_own("leaves.npz", seed=1)
    assert main(["--resume", str(out)]) == 1
    assert "was trained on other data: sha256 is " in capsys.readouterr().err
    assert run("--data", "leaves.npz", "--dataset", "fashion", "--out", "other")[0] == 1
    error = capsys.readouterr().err
    assert error == "error: leaves.npz holds images of its own: leave --dataset fashion out\n"


def test_the_command_trains_on_cued_digits(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    few = partial(data.cued_digits, train=300, test=200)
    monkeypatch.setattr("numpy_se.data.search.cued_digits", few)
    with mock.patch.object(run_module, "class_gates", wraps=class_gates) as drawn:
        status, out = run("--dataset", "cued", "--epochs", "1")
    assert status == 0
    _, signs, names, _ = drawn.call_args.args  # the gates are drawn by sign
    assert set(signs) == {0, 1}
    assert names == list(data.SIGN_NAMES)
    assert "data: cued digits of MNIST, 300 + 200 images of 3 x 28 x 28" in capsys.readouterr().out
    assert json.loads((out / "history.json").read_text())["data"] == "cued digits of MNIST"


def test_without_se_there_are_no_gates_to_draw(folder: Path, capsys: Any) -> None:
    status, out = run("--no-se")
    assert status == 0
    assert "MNIST: net tiny, without SE, 29,066 parameters\n" in capsys.readouterr().out
    with np.load(out / "params.npz") as params:
        assert not [key for key in params.files if key.startswith("se")]
    assert not (out / "gates.png").exists()


def test_the_command_trains_a_residual_net(folder: Path, capsys: Any) -> None:
    status, out = run("--net", "resnet8", "--ratio", "8")
    assert status == 0
    assert "MNIST: net resnet8, SE with ratio 8, " in capsys.readouterr().out
    state, _ = checkpoint_of(out)
    assert "unit3_1.sum.branch.norm2.mean" in state.params
    assert main(["--resume", str(out), "--net", "tiny"]) == 1
    assert "is of a run with --net resnet8, not with --net tiny" in capsys.readouterr().err
    for name in ("resnet", "resnet9", "vgg16"):
        assert main(["--net", name]) == 1
        assert re.search(f"net is '{name}'|depth is 9; it wants 8, 14", capsys.readouterr().err)


def test_without_matplotlib_and_tqdm_the_rest_is_written(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    for name in ("matplotlib", "matplotlib.figure", "tqdm"):
        monkeypatch.setitem(sys.modules, name, None)
    status, out = run()
    assert status == 0
    assert sorted(p.name for p in out.iterdir()) == ["checkpoint.npz", "history.json", "params.npz"]
    printed = capsys.readouterr().out
    assert "no figures, as matplotlib is absent: pip install matplotlib" in printed
    assert "no progress bar, as tqdm is absent: pip install tqdm" in printed
    assert "epoch 2/2" in printed


def test_runs_are_numbered_and_never_overwritten(folder: Path, capsys: Any) -> None:
    for _ in range(2):
        assert main(["--epochs", "1", "--batch-size", "50"]) == 0
    assert sorted(path.name for path in Path("runs").iterdir()) == ["1", "2"]
    before = Path("runs/1/params.npz").read_bytes()
    assert main(["--out", "runs/1"]) == 1
    assert "runs/1 is in use" in capsys.readouterr().err
    assert main(["--out", "runs/1/params.npz"]) == 1
    assert "runs/1/params.npz is a file; name a folder" in capsys.readouterr().err
    assert Path("runs/1/params.npz").read_bytes() == before


def checkpoint_of(out: Path) -> tuple[State, Any]:
    return run_module.resume_run(out, {}).state, load_about(out / "checkpoint.npz")


def step_of(checkpoint: Path) -> int:
    """The step that a checkpoint has reached, 0 while it is empty."""
    if not checkpoint.stat().st_size:
        return 0
    with np.load(checkpoint) as file:
        return int(file["step"])


def test_errors_are_one_line_and_leave_nothing(folder: Path, tmp_path: Path, capsys: Any) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    wrong = {
        (
            "--net",
            "resnet8",
            "--ratio",
            "64",
        ): "16 channels at ratio 64.0 leave no hidden unit; choose a ratio of at",
        ("--data", str(empty)): "has no file train-images-idx3-ubyte.gz; it wants the four files",
        ("--data", ""): "has no file train-images-idx3-ubyte.gz; it wants the four files",
        ("--epochs", "1000000000000"): "Unable to allocate",
        ("--epochs", "0"): "epochs is 0; it wants at least 1",
        ("--lr", "-1"): "lr is -1.0; it wants a positive number",
        (
            "--resume",
            str(empty),
        ): "checkpoint.npz does not exist; give the folder of an earlier run",
        ("--dataset", "fashion"): "replace it by the original",
    }
    for arguments, message in wrong.items():
        status, out = run(*arguments)
        error = capsys.readouterr().err
        assert status == 1
        assert error.startswith("error: ")
        assert message in error
        assert error.count("\n") == 1
        assert not out.exists()


@pytest.mark.parametrize("command", ["numpy_se.train", "numpy_se.checker"])
def test_ctrl_c_while_modules_are_loaded_is_one_line(command: str, tmp_path: Path) -> None:
    text = "import signal\n\nsignal.raise_signal(signal.SIGINT)\n"
    (tmp_path / "numpy.py").write_text(text)  # is loaded in place of NumPy
    root = str(Path(se.__file__).parents[1])
    env = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), root])}
    run = subprocess.run(
        [sys.executable, "-m", command], env=env, capture_output=True, text=True, timeout=30
    )
    assert run.stderr == "interrupted\n"
    assert run.returncode != 0


def test_a_truncated_file_is_one_line(folder: Path, capsys: Any) -> None:
    path = folder / "t10k-images-idx3-ubyte.gz"
    path.write_bytes(path.read_bytes()[:1000])
    assert run()[0] == 1
    assert capsys.readouterr().err.startswith(f"error: {path} is truncated; give another")


def test_a_diverging_run_is_one_line(folder: Path, capsys: Any) -> None:
    for lr in ("1e3", "1e6", "1e300"):
        shutil.rmtree("out", ignore_errors=True)
        assert run("--lr", lr, "--epochs", "20")[0] == 1
        error = capsys.readouterr().err
        assert error.startswith("error: the loss is ")
        assert error.count("\n") == 1


def test_a_damaged_checkpoint_is_refused(folder: Path, capsys: Any) -> None:
    _, out = run()
    path = out / "checkpoint.npz"
    good = path.read_bytes()
    middle = len(good) // 2
    for bad in (
        b"",
        good[:middle],
        good[:-30],
        good[:middle] + bytes(99) + good[middle + 99 :],
        b"\x80\x04K\x01.",  # a pickle
        (out / "params.npz").read_bytes(),
    ):
        path.write_bytes(bad)
        capsys.readouterr()
        assert main(["--resume", str(out)]) == 1
        error = capsys.readouterr().err
        assert error == f"error: {path} is damaged or no checkpoint; start a fresh run\n"
        assert path.read_bytes() == bad


def test_a_checkpoint_of_another_net_is_refused(folder: Path, capsys: Any) -> None:
    _, out = run()
    assert main(["--resume", str(out), "--ratio", "8"]) == 1
    assert "is of a run with --ratio 4.0, not with --ratio 8.0;" in capsys.readouterr().err
    assert main(["--resume", str(out), "--no-se"]) == 1
    assert "is of a run with --ratio 4.0, not with --no-se;" in capsys.readouterr().err

    state, about = checkpoint_of(out)
    about["settings"]["ratio"] = 8.0
    save_checkpoint(out / "checkpoint.npz", state, about)
    assert main(["--resume", str(out)]) == 1
    error = capsys.readouterr().err
    assert (
        "is of another architecture: params/se3.w1 is (16, 64) float32 there and (8, 64) float32 in"
        in error
    )


def test_a_checkpoint_that_does_not_add_up_is_refused(folder: Path, capsys: Any) -> None:
    _, out = run()
    state, about = checkpoint_of(out)
    more = {**state.params, "more": np.ones(3)}
    for change, message in [
        ({"step": 9}, "losses do not reach step 9"),
        ({"step": -1}, "losses do not reach step -1"),
        ({"losses": np.full(8, np.nan)}, "losses do not reach step 8"),
        ({"accuracies": np.full(2, np.nan)}, "accuracies do not reach step 8"),
        ({"accuracies": np.ones(3)}, "accuracies is (3,) float64 there and (2,) float64"),
        ({"rule_state": {}}, "is absent there"),
        ({"params": more}, "params/more is (3,) float64 there and absent in this run"),
    ]:
        save_checkpoint(out / "checkpoint.npz", replace(state, **change), about)
        assert main(["--resume", str(out)]) == 1
        assert message in capsys.readouterr().err


def test_only_arrays_of_the_run_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Names, shapes, dtypes and byte order are compared before any data is read."""
    path, w = tmp_path / "c.npz", np.arange(6.0, dtype=np.float32)
    fresh = State(0, {"w": w}, {"v": w}, np.array([0.5]), np.array([1.0]))
    save_checkpoint(path, fresh, {})
    with np.load(path) as file:
        saved = dict(file)
    monkeypatch.setattr(checkpoint_module, "LONGEST", 2**10)
    read: list[str] = []
    real = checkpoint_module._read
    watched = lambda file, key: read.append(key) or real(file, key)  # noqa: E731
    monkeypatch.setattr(checkpoint_module, "_read", watched)
    for change, message in [
        ({"extra": np.zeros(3)}, r"extra is \(3,\) float64 there and absent in this run"),
        ({"params/w": w.astype(">f4")}, r"params/w is \(6,\) >f4 there and \(6,\) float32 in this"),
        ({"params/w": w[:5]}, r"params/w is \(5,\) float32 there"),
        ({"params/w": np.arange(6)}, r"params/w is \(6,\) int64 there"),
        ({"step": np.array([0])}, r"step is \(1,\) int64 there and \(\) int64 in this run"),
        ({"about": np.array("{}" * 600)}, "is damaged or no checkpoint"),
        ({"about": np.arange(3)}, "is damaged or no checkpoint"),
    ]:
        np.savez(path, **saved | change)
        read.clear()
        with pytest.raises(CheckpointError, match=message):
            load_state(path, fresh)
        assert read == ([] if "about" in change else ["about"])


def test_changed_settings_and_data_are_found(tmp_path: Path) -> None:
    path, w = tmp_path / "c.npz", np.arange(6.0)
    fresh = State(0, {"w": w}, {"v": w}, np.array([0.5]), np.array([1.0]))
    save_checkpoint(path, fresh, {"lr": 0.05})
    with np.load(path) as file:
        saved = dict(file)
    for change in (
        {"about": np.array(str(saved["about"]).replace("0.05", "0.06"))},
        {"params/w": w + 1},
        {"params/w": w[::-1]},
        {"step": np.array(1)},
    ):
        np.savez(path, **saved | change)
        with pytest.raises(CheckpointError, match="is damaged or no checkpoint"):
            load_state(path, fresh)


@pytest.mark.parametrize("place", ["params", "rule_state"])
def test_parameters_must_be_finite(place: str, tmp_path: Path) -> None:
    path, w = tmp_path / "c.npz", np.arange(6.0)
    fresh = State(0, {"w": w}, {"w": w}, np.array([0.5]), np.array([1.0]))
    save_checkpoint(path, replace(fresh, **{place: {"w": np.where(w == 3, np.nan, w)}}), {})
    with pytest.raises(CheckpointError, match=f"{place}/w has entries that are not finite"):
        load_state(path, fresh)


def test_a_state_of_another_length_is_refused(digits: data.Images) -> None:
    state = initial_state(tiny_net(), digits, OPTIONS)
    for options in (replace(OPTIONS, batch_size=25), replace(OPTIONS, epochs=2)):
        with pytest.raises(ValueError, match="state is of 3 epochs and 12 steps; the options want"):
            train(tiny_net(), digits, options, state=state, progress=False)


def test_every_epoch_has_an_order_of_its_own_and_the_learning_rate_a_schedule(
    digits: data.Images, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Watched through the update rule and the images that the net sees."""
    seen: list[Any] = []
    rates: list[float] = []
    monkeypatch.setattr(
        data.Images, "inputs", lambda self, images: seen.append(images) or np.zeros(images.shape)
    )

    class Watching(Adam):
        def step(self, params: Any, grads: Any, state: Any, lr: float) -> Any:
            rates.append(lr)
            return super().step(params, grads, state, lr)

    class Flat(Layer):
        """A net that is fast and has one parameter."""

        names = ("w",)

        def init(self, rng: Any, dtype: Any = np.float64) -> Any:
            return {"w": np.zeros(10)}

        def __call__(self, params: Any, x: Any) -> Any:
            return np.tile(params["w"], (len(x), 1)), lambda dy: (x, {"w": dy.sum(axis=0)})

    def orders(seed: int) -> list[Any]:
        seen.clear()
        options = replace(OPTIONS, seed=seed)
        train(Flat(), digits, options, rule=Watching(), progress=False)
        batches = [images for images in seen if len(images) in (16, 2)]
        return [np.concatenate(batches[4 * epoch : 4 * epoch + 4]) for epoch in range(3)]

    first, second, third = orders(0)
    everything = np.sort(digits.train_images, axis=0)
    for order in (first, second, third):
        np.testing.assert_array_equal(np.sort(order, axis=0), everything)
        assert (order != digits.train_images).any()
    assert (first != second).any()
    assert (second != third).any()
    assert (orders(1)[0] != first).any()
    assert rates[:12] == [one_cycle(step, 12, OPTIONS.lr) for step in range(12)]


def test_predictions_do_not_depend_on_the_batches(
    digits: data.Images, monkeypatch: pytest.MonkeyPatch
) -> None:
    net = tiny_net()
    params = net.init(np.random.default_rng(0))
    whole = predict(net, params, digits, digits.test_images)
    gates = collect_gates(net, params, digits, digits.test_images)
    monkeypatch.setattr("numpy_se.train.loop.MICROBATCH", 7)
    with workers(2):
        np.testing.assert_array_equal(predict(net, params, digits, digits.test_images), whole)
    for name, parts in collect_gates(net, params, digits, digits.test_images, batch=7).items():
        np.testing.assert_allclose(parts, gates[name], rtol=1e-5)


def test_the_figures_show_what_they_are_given() -> None:
    pytest.importorskip("matplotlib")
    rng = np.random.default_rng(0)
    labels = np.arange(40) % 10
    gates = {f"se{k}": k / 9 * rng.random((40, 4 + k)) for k in range(1, 8)}
    gates["se7"][labels == 7, :4] += 2  # one class stands apart
    figure = class_gates(gates, labels, "abcdefghij", "title")
    *panels, depth = figure.axes
    for panel, name in zip(panels, ("se1", "se4", "se7"), strict=True):
        means = class_means(gates[name], labels)
        order = np.argsort(means.mean(axis=0))
        assert panel.get_title(loc="left") == name
        assert len(panel.lines) == 4
        for line in panel.lines:
            k = "abcdefghij".index(line.get_label())
            np.testing.assert_allclose(line.get_ydata(), means[k][order])
        (band,) = panel.collections
        corners = band.get_paths()[0].vertices[:, 1]
        assert (corners.min(), corners.max()) == (means.min(), means.max())
        low, high = panel.get_ylim()
        assert low <= means.min()
        assert high >= means.max()
    assert "h" in [line.get_label() for line in panels[0].lines]
    ranges = [class_range(values, labels) for values in gates.values()]
    np.testing.assert_allclose(depth.lines[0].get_ydata(), ranges)

    one = class_gates({"se": rng.random((90, 4))}, np.arange(90) % 2, ("left", "right"), "title")
    assert [len(axes.lines) for axes in one.axes] == [2, 1]

    images = rng.integers(0, 255, (9, 3, 6, 5), dtype=np.uint8)
    samples = sample_images(images, labels, "abcdefghij", "title")
    assert len(samples.axes) == 3 * 8
    np.testing.assert_array_equal(samples.axes[8 + 2].images[0].get_array(), images[2, 1])
    assert [axes.get_title() for axes in samples.axes[:8]] == list("abcdefgh")

    losses, accuracies = np.linspace(2, 0.1, 100), np.array([0.5, 0.75])
    curves = learning_curves(losses, accuracies, "title")
    loss_axes, error_axes = curves.axes
    perfect = learning_curves(np.zeros(3), np.ones(1), "title").axes
    assert [axes.lines[0].get_ydata()[0] for axes in perfect] == [1e-6, 0.01]
    np.testing.assert_allclose(loss_axes.lines[0].get_ydata(), losses)
    np.testing.assert_allclose(error_axes.lines[0].get_ydata(), [50, 25])
    assert error_axes.get_title(loc="left") == "Test error: 25.00 % at the end"


def test_a_checkpoint_of_other_data_or_format_is_refused(folder: Path, capsys: Any) -> None:
    _, out = run()
    state, about = checkpoint_of(out)
    for change, message in [
        ({"images": 49}, f"was trained on other data: images is 49 there and {TRAIN} here"),
        ({"sha256": "0"}, "was trained on other data: sha256 is 0 there and "),
        ({"settings": about["settings"] | {"ratio": "4"}}, "is damaged: "),
        ({"settings": about["settings"] | {"data": 3}}, "is damaged: "),
        ({"settings": [1]}, "was not written by this command"),
        ({"settings": {"ratio": 4.0}}, "was not written by this command"),
        ({"format": "numpy_se checkpoint 0"}, "has the format 'numpy_se checkpoint 0'"),
    ]:
        save_checkpoint(out / "checkpoint.npz", state, about | change)
        assert main(["--resume", str(out)]) == 1
        assert message in capsys.readouterr().err


class Harm:
    """Creates a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return Path.touch, (self.path,)


def test_pickles_are_not_loaded(tmp_path: Path) -> None:
    harm = np.array([Harm(tmp_path / "harm")], dtype=object)
    np.savez(tmp_path / "c.npz", about=harm)
    with pytest.raises(CheckpointError, match="is damaged or no checkpoint"):
        load_about(tmp_path / "c.npz")
    assert not (tmp_path / "harm").exists()
    np.load(tmp_path / "c.npz", allow_pickle=True)["about"]
    assert (tmp_path / "harm").exists()


@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(place=st.integers(0, 10**6), bit=st.integers(0, 7))
def test_a_checkpoint_with_a_flipped_bit_is_whole_or_refused(
    tmp_path: Path, place: int, bit: int
) -> None:
    path = tmp_path / "c.npz"
    arrays = {"w": np.arange(6.0)}
    state = State(1, arrays, arrays, np.array([0.5]), np.array([1.0]))
    save_checkpoint(path, state, {"lr": 0.05})
    content = bytearray(path.read_bytes())
    content[place % len(content)] ^= 1 << bit
    path.write_bytes(content)
    try:
        loaded, about = load_state(path, state), load_about(path)
    except CheckpointError:
        return
    assert_same(loaded, state)
    assert about == {"lr": 0.05}


def test_writing_is_all_or_nothing(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"before")

    def fail(stream: Any) -> None:
        stream.write(b"half")
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        write_atomically(path, fail)
    assert path.read_bytes() == b"before"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.skipif(os.name == "nt", reason="needs process numbers of POSIX")
def test_what_dead_processes_left_is_removed(tmp_path: Path) -> None:
    dead = subprocess.run(
        [sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True
    )
    start, pid = f".file.{platform.node()}.", int(dead.stdout)
    kept = {f"{start}{os.getppid()}", f".file.elsewhere.{pid}", f".other{start}{pid}", f"{start}x"}
    for name in (*kept, f"{start}{pid}", f"{start}{10**30}"):
        (tmp_path / name).touch()
    write_atomically(tmp_path / "file", lambda stream: stream.write(b"whole"))
    assert {path.name for path in tmp_path.iterdir()} == {*kept, "file"}


def test_a_finished_run_can_be_resumed_without_harm(folder: Path, capsys: Any) -> None:
    _, out = run()
    before, _ = checkpoint_of(out)
    again = ["--resume", str(out / "checkpoint.npz"), "--ratio", "4", "--data", str(folder)]
    assert main([*again, "--epochs", "2"]) == 0
    assert "the run is finished: nothing is left to train" in capsys.readouterr().out
    assert_same(checkpoint_of(out)[0], before)


SCRIPT = """
import sys
sys.path.insert(0, {tests!r})
import pytest
from digits_on_disk import contents, register
register(pytest.MonkeyPatch(), contents())
from numpy_se.train.__main__ import main
sys.exit(main())
"""


@pytest.mark.skipif(os.name == "nt", reason="needs SIGINT")
def test_ctrl_c_at_the_shell_and_resuming_gives_the_uninterrupted_run(
    folder: Path, tmp_path: Path
) -> None:
    script = tmp_path / "command.py"
    script.write_text(SCRIPT.format(tests=str(Path(__file__).parent)))
    options = ["--epochs", "20", "--batch-size", "10", "--lr", "0.02"]
    command = [sys.executable, str(script), *options, "--out", "stopped"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    checkpoint = Path("stopped/checkpoint.npz")
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and not (checkpoint.exists() and step_of(checkpoint) > 0):
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    _, error = process.communicate(timeout=60)
    assert process.returncode == 130
    hint = "interrupted; go on with: python -m numpy_se.train --resume stopped\n"
    assert error.endswith(hint)
    assert 0 < step_of(checkpoint) < 20 * 5

    resume = [sys.executable, str(script), "--resume", "stopped"]
    subprocess.run(resume, check=True, capture_output=True)
    assert main([*options, "--out", "whole"]) == 0
    assert_same(checkpoint_of(Path("stopped"))[0], checkpoint_of(Path("whole"))[0])


def test_runs_that_start_together_get_folders_of_their_own(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second run starts while the first one still loads its data."""
    load = run_module.load_images
    others: list[Any] = []

    def slow_load(*args: Any, **options: Any) -> Any:
        if not others:
            others.append(None)
            others.append(run_module.start_run(dict(run_module.DEFAULTS)))
        return load(*args, **options)

    monkeypatch.setattr(run_module, "load_images", slow_load)
    run = run_module.start_run(dict(run_module.DEFAULTS))
    assert {run.folder, others[1].folder} == {Path("runs/1"), Path("runs/2")}


def test_of_two_runs_in_one_folder_the_second_is_refused(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    """It starts while the first one still loads its data, and does not load any."""
    load = run_module.load_images
    loads: list[Any] = []

    def slow_load(*args: Any, **options: Any) -> Any:
        loads.append(None)
        assert main(["--out", "a/b"]) == 1
        assert capsys.readouterr().err.startswith("error: a/b is in use; name another folder")
        return load(*args, **options)

    monkeypatch.setattr(run_module, "load_images", slow_load)
    run_module.start_run(dict(run_module.DEFAULTS), Path("a/b"))
    assert len(loads) == 1


@pytest.mark.parametrize("out", [[], ["--out", "a/b"]])
def test_a_run_that_cannot_start_leaves_no_folder(
    folder: Path, out: list[str], capsys: Any
) -> None:
    before = sorted(Path().iterdir())
    assert main(["--net", "resnet8", "--ratio", "64", *out]) == 1
    assert sorted(Path().iterdir()) == before
    Path("a/b").mkdir(parents=True)
    assert main(["--net", "resnet8", "--ratio", "64", "--out", "a/b"]) == 1
    assert list(Path("a").iterdir()) == [Path("a/b")]
    Path("a/b/notes").touch()
    assert main(["--out", "a/b"]) == 1
    assert "a/b is in use" in capsys.readouterr().err
    assert list(Path("a/b").iterdir()) == [Path("a/b/notes")]


def test_real_digits_are_learned_when_they_are_at_hand() -> None:
    """One pass over 10,000 digits of MNIST; judged by all 10,000 test digits."""
    if not os.environ.get("NUMPY_SE_DATA"):
        pytest.skip("NUMPY_SE_DATA names no folder")
    digits = data.load_images().subset(train=10_000, test=10_000)
    state = train(tiny_net(), digits, Options(epochs=1, batch_size=50, lr=0.05), progress=False)
    assert state.accuracies[-1] > 0.9
