"""Client side of the wire format: encodes OpenAI-compatible requests, decodes responses of all providers. Pure."""
