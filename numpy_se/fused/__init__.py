"""Operations in few passes over memory: the functions of ``se`` and ``ops``, faster.

A feature map is large and little is computed with each value, so most of the time goes into moving
it. Here a chunk of a few samples takes several steps before the next chunk begins, where the
formula allows it, and finds in the cache what the step before left there. The formulas and their
derivations stand with the reference, and tests hold both equal. The work can be shared among
threads, see ``parallel.workers``.
"""

from numpy_se.fused.norm import batch_norm
from numpy_se.fused.se import squeeze_excite

__all__ = ["batch_norm", "squeeze_excite"]
