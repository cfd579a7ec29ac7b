"""A model that is simulated: its grammar, timing, faults, texts, schemas and scenarios."""
