"""Limits of the memory that requests and responses hold, with a share for each caller."""
