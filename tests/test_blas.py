"""BLAS: which kernels it runs, and the hint where it leaves something unused."""

from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from digits_on_disk import contents, register, write

from numpy_se import blas
from numpy_se.train.__main__ import main

HINT = "OPENBLAS_CORETYPE=SkylakeX in the environment may be faster"


def machine(
    monkeypatch: pytest.MonkeyPatch, folder: Path, flags: str | None, *pools: dict[str, Any]
) -> None:
    """Be on a machine with these flags of the processor, and these libraries."""
    pytest.importorskip("threadpoolctl")
    file = folder / "cpuinfo"
    if flags is not None:
        file.write_text(f"model name : made up\nflags : fpu {flags} sse2\n")
    monkeypatch.setattr(blas, "CPUINFO", file)
    monkeypatch.setattr("threadpoolctl.threadpool_info", lambda: list(pools))


def openblas(architecture: str | None) -> dict[str, Any]:
    return {"internal_api": "openblas", "architecture": architecture}


@pytest.mark.parametrize("kernel", ["Zen", "Haswell"])
def test_kernels_that_leave_avx512_unused(
    kernel: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    machine(monkeypatch, tmp_path, "avx2 avx512f avx512vl", openblas(kernel))
    hint = blas.kernel_hint()
    assert hint
    assert HINT in hint, hint
    assert f"its {kernel} kernels" in hint


@pytest.mark.parametrize(
    ("flags", "pool"),
    [
        ("avx512vl", openblas("SkylakeX")),
        ("avx512vl", openblas("SapphireRapids")),
        ("avx2", openblas("Zen")),  # no AVX-512
        (None, openblas("Zen")),  # no Linux
        ("avx512vl", openblas(None)),
        ("avx512vl", openblas("armv8")),
        ("avx512vl", {"internal_api": "mkl", "architecture": None}),
        ("avx512vl", {"internal_api": "openmp"}),
    ],
)
def test_nothing_is_said_where_nothing_is_known_to_be_lost(
    flags: str | None, pool: dict[str, Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    machine(monkeypatch, tmp_path, flags, pool)
    assert blas.kernel_hint() is None


def test_one_fast_library_is_enough(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    machine(monkeypatch, tmp_path, "avx512vl", openblas("SkylakeX"), openblas("Haswell"))
    assert blas.kernel_hint() is None  # the other one can be that of SciPy


def test_blas_gets_one_thread() -> None:
    threadpoolctl = pytest.importorskip("threadpoolctl")
    with blas.one_blas_thread():
        pools = [pool for pool in threadpoolctl.threadpool_info() if pool["user_api"] == "blas"]
        assert pools
        assert all(pool["num_threads"] == 1 for pool in pools)


def test_without_threadpoolctl() -> None:
    with mock.patch.dict("sys.modules", {"threadpoolctl": None}):
        assert blas.kernels() == []
        assert blas.kernel_hint() is None
        with blas.one_blas_thread():
            pass


def test_training_prints_the_hint_once(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    digits = contents(40, 20)
    register(monkeypatch, digits)
    write(tmp_path / "digits", digits)
    machine(monkeypatch, tmp_path, "avx512vl", openblas("Zen"))
    folders = ["--data", str(tmp_path / "digits"), "--out", str(tmp_path / "run")]
    assert main(["--epochs", "1", "--batch-size", "20", *folders]) == 0
    assert capsys.readouterr().out.count(HINT) == 1


def test_one_thread_is_for_the_block_alone() -> None:
    threadpoolctl = pytest.importorskip("threadpoolctl")

    def threads() -> list[int]:
        pools = threadpoolctl.threadpool_info()
        return [pool["num_threads"] for pool in pools if pool["user_api"] == "blas"]

    before = threads()
    made = blas.one_blas_thread()
    assert threads() == before
    with made:
        assert set(threads()) <= {1}
    assert threads() == before

    @blas.one_blas_thread()
    def inside() -> list[int]:
        return threads()

    assert set(inside()) | set(inside()) <= {1}
    assert threads() == before
