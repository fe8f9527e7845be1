"""The ChatGPT recipe: from raw text to an aligned chat model, each stage cached and measured.

Read in this order: config.py, presets.py, keys.py, engine.py, table.py, stages.py, task_sets.py,
preferences.py, replying.py, evaluation.py, recipe.py; then report.py. Imports nothing here, so that the
command line answers at once.
"""
