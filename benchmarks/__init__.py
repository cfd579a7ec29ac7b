"""Measures Tokenfall and reference servers: `python -m benchmarks`, documented in README.md."""
