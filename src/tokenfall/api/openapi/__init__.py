"""`GET /openapi.json`. Imported at the first request: it needs the Structs of all routes, and takes a megabyte."""
