"""Client side of the wire format: encodes OpenAI-compatible requests, decodes what providers really send. Pure."""
