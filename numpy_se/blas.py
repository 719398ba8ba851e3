"""BLAS, the library behind NumPy's matrix products: its threads and its kernels.

A kernel is the code with which BLAS multiplies matrices on one kind of processor. OpenBLAS, which
comes with NumPy, chooses it when NumPy is imported. Both need threadpoolctl.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

CPUINFO = Path("/proc/cpuinfo")  # of Linux
WITH_AVX512 = {"skylakex", "cooperlake", "sapphirerapids"}  # kernels of OpenBLAS


def one_blas_thread() -> AbstractContextManager[Any]:
    """Give BLAS one thread in this block of code. Without threadpoolctl it does nothing.

    Times are steadier, and results do not depend on the number of cores.
    """
    try:
        from threadpoolctl import threadpool_limits
    except ImportError:
        return nullcontext()
    limits: AbstractContextManager[Any] = threadpool_limits(1, user_api="blas")
    return limits


def kernels() -> list[str]:
    """Give the kernels that OpenBLAS runs in this process; none where that cannot be told."""
    try:
        from threadpoolctl import threadpool_info
    except ImportError:
        return []
    pools = (pool for pool in threadpool_info() if pool.get("internal_api") == "openblas")
    return sorted({pool["architecture"] for pool in pools if pool.get("architecture")})


def kernel_hint() -> str | None:
    """Say in one line that OpenBLAS leaves AVX-512 unused, and what to try.

    It is None where OpenBLAS uses it, where the processor has none, and where that cannot be told:
    with another BLAS, on another system than Linux, and without threadpoolctl.
    """
    try:
        has_avx512 = "avx512vl" in CPUINFO.read_text(encoding="utf-8", errors="replace").split()
    except OSError:
        return None
    slower = [kernel for kernel in kernels() if kernel.lower() not in WITH_AVX512]
    if not has_avx512 or not slower:
        return None
    return (
        f"OpenBLAS runs its {slower[0]} kernels, which leave the AVX-512 of this processor unused; "
        "OPENBLAS_CORETYPE=SkylakeX in the environment may be faster"
    )
