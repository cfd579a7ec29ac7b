"""The APIs of OpenAI: chat completions (Groq's too), legacy completions, embeddings, models, responses."""
