"""OpenAI's APIs: chat completions (also Groq's), legacy completions, embeddings, models, responses."""
