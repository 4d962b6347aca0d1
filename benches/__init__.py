"""The benchmark: Reviver and its peers, one core for the proxy, one for origin and load, interleaved in rounds.

`python -m benches --help` tells how to run it; `docs/benchmarks.md` is what a whole run writes.
"""
