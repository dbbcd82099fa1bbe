"""Synthetic patients for the demo, the tests and the benchmarks. No one in here exists."""
