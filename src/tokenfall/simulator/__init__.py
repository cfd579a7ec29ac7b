"""The simulated model: its grammar, timing, faults, texts, schemas and scenarios."""
