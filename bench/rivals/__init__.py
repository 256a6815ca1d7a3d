"""One contender a module, each written as its own documentation recommends for speed.

``build(network, X, y, **options)`` returns a `bench.contenders.Training`.
"""
