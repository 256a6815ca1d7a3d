"""From a function of arrays to loops: recording, scheduling, lowering and memory.

It knows no compiler and no array library; ``docs/compile.md`` walks through it.
"""
