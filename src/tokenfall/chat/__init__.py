"""Runs one turn of a chat: load and trim the history, call the engine, store the response."""
