"""The README: its code runs and does what it says, and the files that it names exist."""

import re
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pytest
from digits_on_disk import contents, register, write

import numpy_se as se
from numpy_se import costs, figures, gates, nets, relatives
from numpy_se.train.__main__ import main

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
PROSE = re.sub(r"```.*?```", "", README, flags=re.DOTALL)
MODULES = (se, costs, figures, gates, nets, relatives)
BLOCK, NET, TRAINED, RESNET, GATED, OWN, CHECK, ECA = re.findall(
    r"```python\n(.*?)```", README, flags=re.DOTALL
)
TORCH, PROPERTY, CLASS = re.findall(r"```py\n(.*?)```", README, flags=re.DOTALL)

HAND_IN = """
import numpy as np

def se_block(x, w1, w2):
    z = x.mean(axis=(2, 3))
    h = z @ w1.T
    a = np.maximum(h, 0)
    s = 1 / (1 + np.exp(-(a @ w2.T)))

    def backward(dy):
        du = (dy * x).sum(axis=(2, 3)) * s * (1 - s)
        dh = (du @ w2) * (h > 0)
        dz = (dh @ w1)[:, :, None, None] / (x.shape[2] * x.shape[3])
        return dy * s[:, :, None, None] + dz, dh.T @ z, du.T @ a

    return x * s[:, :, None, None], backward
"""


def run(code: str) -> dict[str, Any]:
    names: dict[str, Any] = {}
    exec(code, names)
    return names


def test_a_block_is_its_gates(capsys: pytest.CaptureFixture[str]) -> None:
    net = run(GATED)["net"]
    assert capsys.readouterr().out == "ok\n"
    assert "eca" in net.layers


def test_the_block_on_one_screen_is_the_block_of_the_package() -> None:
    se_block = run(BLOCK)["se_block"]
    rng = np.random.default_rng(0)
    x, w1, w2, dy = (rng.standard_normal(s) for s in ((2, 4, 5, 3), (2, 4), (4, 2), (2, 4, 5, 3)))
    y, backward = se_block(x, w1, w2)
    want_y, want_backward = se.squeeze_excite(x, w1, w2)
    np.testing.assert_array_equal(y, want_y)
    for grad, want in zip(backward(dy), want_backward(dy), strict=True):
        np.testing.assert_array_equal(grad, want)


def test_the_net_has_gates_and_gradients() -> None:
    names = run(NET)
    assert names["gates"].shape == (8, 32)
    assert names["grads"].keys() == names["params"].keys()
    assert "se.w1" in names["grads"]


def test_a_residual_net_is_trained_and_evaluated() -> None:
    names = run(RESNET)
    assert names["gates"].shape == (8, 64)
    assert names["grads"].keys() == set(names["net"].names)
    assert names["seen"].keys() == set(names["net"].statistics)


def test_weights_of_pytorch_are_taken_over() -> None:
    class Tensor(np.ndarray):  # as much of PyTorch as the lines need
        def numpy(self) -> Any:
            return np.asarray(self)

    net = nets.se_resnet(8, ratio=4)
    params = net.init(np.random.default_rng(0))
    shapes = {
        "conv1.weight": (16, 1, 3, 3),
        **dict.fromkeys([f"bn1.{k}" for k in ("weight", "bias", "running_mean")], (16,)),
        "bn1.running_var": (16,),
        "layer1.0.se.fc1.weight": (4, 16, 1, 1),
    }
    theirs = {
        key: np.full(shape, i, np.float32).view(Tensor)
        for i, (key, shape) in enumerate(shapes.items())
    }
    names: dict[str, Any] = {"params": params, "torch_net": mock.Mock(state_dict=lambda: theirs)}
    exec(TORCH, names)
    taken = [names["params"][key] for key in names["names"]]
    assert [a.flat[0] for a in taken] == list(range(6))
    net(names["params"], np.ones((2, 1, 28, 28), np.float32)[:, :, :8, :8])


def test_a_trained_net_is_loaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    register(monkeypatch, contents())
    write(tmp_path / "files", contents())
    monkeypatch.setenv("NUMPY_SE_DATA", str(tmp_path / "files"))
    monkeypatch.chdir(tmp_path)
    assert main(["--epochs", "1"]) == 0
    names = run(TRAINED)
    assert names["x"].shape == (5, 1, 28, 28)
    assert "[0 1 2 3 4]" in capsys.readouterr().out


def test_own_images_are_trained_on_in_python_and_at_the_shell(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    monkeypatch.chdir(tmp_path)
    names = run(OWN)
    assert names["state"].accuracies[-1] == 1
    assert names["mean"].shape == (16,)
    out = capsys.readouterr().out
    assert "own images, 500 + 100 images of 3 x 16 x 16, 3 classes, from arrays\n" in out
    assert "\nblue [" in out
    (command,) = re.findall(r"`python -m numpy_se\.train (--data \S+)`", README)
    assert main([*command.split(), "--epochs", "1"]) == 0
    assert "data: my, 500 + 100 images of 3 x 16 x 16, 3 classes, from my.npz\n" in (
        capsys.readouterr().out
    )


def test_the_check_prints_what_it_says(capsys: Any) -> None:
    """All but the digits: they may differ in the last place elsewhere."""
    run(CHECK)
    printed = capsys.readouterr().out.strip()
    wanted = README.split(CHECK)[1].split("```")[2].strip()
    assert re.sub(r"\.\d+", "", printed) == re.sub(r"\.\d+", "", wanted)


def test_a_block_of_ones_own_has_named_mistakes(capsys: Any) -> None:
    run(ECA)
    right, forgetful = capsys.readouterr().out.splitlines()
    assert right.startswith("ok: ")
    words = (
        "dx is wrong. Consistent with: the squeeze path is missing: x feeds both the squeeze and"
    )
    assert forgetful.startswith(words)
    assert words in " ".join(README.split(ECA)[1].split())


def test_the_property_test_of_two_lines_fails() -> None:
    names = run(CHECK)
    exec("from numpy_se.strategies import gradient_test\n" + PROPERTY, names)
    with pytest.raises(AssertionError, match=r"it is H\*W times too large"):
        names["test_mean_pool"]()


def test_the_files_of_a_class_are_checked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    (tmp_path / "handed_in").mkdir()
    (tmp_path / "solution.py").write_text(BLOCK)
    wrong = {"anna": (" + dz", ""), "ben": ("np.maximum(h, 0)", "2 * np.maximum(h, 0)"), "cleo": ()}
    for name, change in wrong.items():
        text = HAND_IN.replace(*change) if change else HAND_IN
        (tmp_path / "handed_in" / f"{name}.py").write_text(text)
    monkeypatch.chdir(tmp_path)
    run(CLASS)
    anna, ben, cleo = capsys.readouterr().out.splitlines()
    assert anna.startswith("anna\twrong\tdx is wrong. Consistent with: the squeeze path is missing")
    assert ben.startswith("ben\twrong\ty is wrong")
    assert cleo.startswith("cleo\tok\tok: ")


@pytest.mark.parametrize("link", re.findall(r"\]\(([^)]+)\)", PROSE))
def test_links_lead_somewhere(link: str) -> None:
    if link.startswith("#"):
        headings = re.findall(r"^#+ (.*)$", PROSE, re.MULTILINE)
        assert link[1:] in [heading.lower().replace(" ", "-") for heading in headings]
    else:
        assert link.startswith("https://") or (ROOT / link).exists()


@pytest.mark.parametrize("name", re.findall(r"^\| .*? \| (.*?) \|", README, flags=re.MULTILINE))
def test_functions_of_the_table_exist(name: str) -> None:
    for function in re.findall(r"`(\w+)`", name):
        assert any(hasattr(m, function) for m in MODULES), function
