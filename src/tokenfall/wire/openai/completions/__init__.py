"""OpenAI's legacy completions API."""
