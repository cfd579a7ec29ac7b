"""Asks a model's provider: an HTTP/1.1 client on the reactor, and the engine and relay on it. Knows no client."""
