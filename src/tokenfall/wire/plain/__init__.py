"""Tokenfall's own formats: `POST /chat`, `GET /history` and the plain simulator streams."""
