"""How good a model is, in figures that can be trusted: each with what it is measured on and its uncertainty.

Read in this order: scoring.py (nats of every token), perplexity.py, intervals.py, choices.py, floor.py,
microworld_probes.py.
"""
