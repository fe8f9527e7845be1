"""HuggingFace folders: our GPT written as GPT-2, Llama or Qwen3, and such folders read back.

Read in this order: architectures.py (whose config says what), weights.py (whose tensor is whose), card.py,
exporting.py, importing.py; comparing.py runs both models on the same tokens. Only comparing.py imports
transformers, and only when it is called: folders are plain JSON and safetensors.
Used by `nn2llm export` and `nn2llm import`.
"""

from nn2llm.models.hf.architectures import Architecture, build_hf_config, choose_architecture, parse_hf_config
from nn2llm.models.hf.card import Figures
from nn2llm.models.hf.comparing import Comparison
from nn2llm.models.hf.exporting import Export, export_to_hf
from nn2llm.models.hf.importing import Imported, load_from_hf
from nn2llm.models.hf.weights import from_hf_weights, to_hf_weights

__all__ = [
    "Architecture",
    "Comparison",
    "Export",
    "Figures",
    "Imported",
    "build_hf_config",
    "choose_architecture",
    "export_to_hf",
    "from_hf_weights",
    "load_from_hf",
    "parse_hf_config",
    "to_hf_weights",
]
