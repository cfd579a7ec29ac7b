"""The upstream's wire format: OpenAI-compatible requests out, whatever providers really send in. Pure."""
