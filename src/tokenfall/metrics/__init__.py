"""Counters, their history, and their sum over worker processes."""
