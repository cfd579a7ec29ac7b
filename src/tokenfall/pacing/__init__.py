"""When the next token is due."""
