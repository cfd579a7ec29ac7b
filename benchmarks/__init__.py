"""What Tokenfall spends, measured beside yardsticks: `python -m benchmarks`, explained in README.md."""
