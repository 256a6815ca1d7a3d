"""Losses: one pair a file.

Every forward pass returns ``sum_i weight_i l_i`` over the rows of a batch, where `weight` is a
number (1 / n for the mean) or an array (n,) whose sum is 1; so a weighted mean, a tail batch and
micro-batches of one large batch are the same formula.
"""
