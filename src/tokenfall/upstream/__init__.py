"""The upstream LLM provider: an HTTP/1.1 client on the reactor and the engine and relay built on it.

It knows nothing of Tokenfall's own clients.
"""
