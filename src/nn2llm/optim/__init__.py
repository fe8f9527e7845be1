"""How parameters move: optimizers, schedules, clipping, and which parameter gets which.

Read in this order: sgd.py, adam.py, schedules.py, clipping.py, newton_schulz.py, muon.py, param_groups.py,
combined.py. SGD, Adam and AdamW are written out per parameter to be read, and equal torch's; training uses
torch's fused AdamW beside Muon (combined.py).
"""

from nn2llm.optim.adam import Adam, AdamW
from nn2llm.optim.clipping import clip_grad_norm
from nn2llm.optim.combined import CombinedOptimizer, OptimizerConfig, build_optimizer
from nn2llm.optim.muon import Muon
from nn2llm.optim.newton_schulz import newton_schulz
from nn2llm.optim.param_groups import build_param_groups
from nn2llm.optim.schedules import ScheduleConfig, lr_factor
from nn2llm.optim.sgd import SGD

__all__ = [
    "SGD",
    "Adam",
    "AdamW",
    "CombinedOptimizer",
    "Muon",
    "OptimizerConfig",
    "ScheduleConfig",
    "build_optimizer",
    "build_param_groups",
    "clip_grad_norm",
    "lr_factor",
    "newton_schulz",
]
