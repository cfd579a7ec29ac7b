"""One turn of a chat: load, trim, answer, save."""
