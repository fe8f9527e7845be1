"""How good a model is, in figures that can be trusted: each with what it is measured on and its uncertainty.

Read in this order: scoring.py (nats of every token), perplexity.py, intervals.py, text_report.py, choices.py,
floor.py, microworld_probes.py. Then what is said of replies, and of models that judge them: reply_scores.py,
preference_biases.py, reward_accuracy.py, win_rates.py, best_of_n.py, agreement.py, ranking.py.
"""
