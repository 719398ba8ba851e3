"""BLAS, the library behind NumPy's matrix products: its threads and its kernels.

A kernel is the code with which BLAS multiplies matrices on one kind of processor. OpenBLAS, which
comes with NumPy, chooses it when NumPy is imported. Both need threadpoolctl.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

CPUINFO = Path("/proc/cpuinfo")  # of Linux
# Kernels of OpenBLAS for processors of x86 that do not use AVX-512.
WITHOUT_AVX512 = {
    "zen",
    "haswell",
    "sandybridge",
    "nehalem",
    "prescott",
    "excavator",
    "steamroller",
}


@contextmanager
def one_blas_thread() -> Iterator[None]:
    """Give BLAS one thread in this block of code. Without threadpoolctl it does nothing.

    Times are steadier, and results do not depend on the number of cores.
    """
    try:
        from threadpoolctl import threadpool_limits
    except ImportError:
        yield
        return
    with threadpool_limits(1, user_api="blas"):
        yield


def kernels() -> list[str]:
    """Give the kernels that OpenBLAS runs in this process; none where that cannot be told."""
    try:
        from threadpoolctl import threadpool_info
    except ImportError:
        return []
    pools = (pool for pool in threadpool_info() if pool.get("internal_api") == "openblas")
    return sorted({pool["architecture"] for pool in pools if pool.get("architecture")})


def has_avx512() -> bool:
    """Tell whether this processor is known to have AVX-512, which is on Linux alone."""
    try:
        return "avx512vl" in CPUINFO.read_text(encoding="utf-8", errors="replace").split()
    except OSError:
        return False


def kernel_hint() -> str | None:
    """Say in one line that OpenBLAS leaves AVX-512 unused, and what to try.

    It is None where OpenBLAS uses it, where the processor has none, and where that cannot be told:
    with another BLAS, another system than Linux, other kernels, and without threadpoolctl.
    """
    names = kernels()
    slower = [name for name in names if name.lower() in WITHOUT_AVX512]
    if not has_avx512() or not slower or len(slower) < len(names):
        return None
    return (
        f"OpenBLAS runs its {slower[0]} kernels, which leave the AVX-512 of this processor unused; "
        "OPENBLAS_CORETYPE=SkylakeX in the environment may be faster"
    )
