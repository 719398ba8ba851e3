"""The relatives of SE: squeeze, decide, scale, each in its own way.

    file                 squeeze                  decide                    scale
    scse.py              mean; none               bottleneck; one map       channels + pixels
    eca.py               mean                     neighbouring channels     channels
    cbam.py              mean and max, twice      bottleneck; convolution   channels, then pixels
    gather_excite.py     the map, or windows      nothing, or depthwise     channels, or each value
    effective_se.py      mean                     one layer                 channels
    srm.py               mean and deviation       each channel alone        channels
    gct.py               length                   competition               channels, around 1
    global_context.py    attention over pixels    bottleneck, layer norm    adds, or scales
    scale_bias_se.py     mean                     bottleneck to 2C          scales and shifts
    sequences.py         mean of valid places     bottleneck                channels

The gates of ``gather_excite`` stand in ``gather.py``, the numbers of ``global_context`` in
``context.py``. All share the rule of two paths: ``ops.gated``. SE with another inner activation is
an option of ``squeeze_excite`` itself. Each operation keeps what its steps keep; where it scales
maps, these and the gates.
"""

from numpy_se.relatives.cbam import (
    CBAM,
    cbam,
    channel_attention_gates,
    spatial_attention_gates,
)
from numpy_se.relatives.context import attention_pool, context
from numpy_se.relatives.eca import ECA, eca, eca_gates, eca_size
from numpy_se.relatives.effective_se import EffectiveSE, effective_gates, effective_se
from numpy_se.relatives.gather import convolved_gates, gathered_gates, mean_gates, window_gates
from numpy_se.relatives.gather_excite import GatherExcite, gather_excite
from numpy_se.relatives.gct import GCT, gct, gct_gates
from numpy_se.relatives.global_context import GlobalContext, global_context
from numpy_se.relatives.layer import Relative
from numpy_se.relatives.scale_bias_se import (
    ScaleBiasSE,
    scale_and_shift,
    scale_bias_se,
    scales_and_biases,
)
from numpy_se.relatives.scse import SCSE, SpatialSE, scse, spatial_gates, spatial_se
from numpy_se.relatives.sequences import squeeze_excite_nd
from numpy_se.relatives.srm import SRM, srm, srm_gates

__all__ = [
    "CBAM",
    "ECA",
    "GCT",
    "SCSE",
    "SRM",
    "EffectiveSE",
    "GatherExcite",
    "GlobalContext",
    "Relative",
    "ScaleBiasSE",
    "SpatialSE",
    "attention_pool",
    "cbam",
    "channel_attention_gates",
    "context",
    "convolved_gates",
    "eca",
    "eca_gates",
    "eca_size",
    "effective_gates",
    "effective_se",
    "gather_excite",
    "gathered_gates",
    "gct",
    "gct_gates",
    "global_context",
    "mean_gates",
    "scale_and_shift",
    "scale_bias_se",
    "scales_and_biases",
    "scse",
    "spatial_attention_gates",
    "spatial_gates",
    "spatial_se",
    "squeeze_excite_nd",
    "srm",
    "srm_gates",
    "window_gates",
]
