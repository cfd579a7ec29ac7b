"""The upstream LLM provider: an HTTP/1.1 client on the reactor and the engine and relay built on it.

It must not depend on Tokenfall's own clients.
"""
