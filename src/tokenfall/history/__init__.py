"""Conversation stores: memory, SQLite, Redis."""
