"""Recording of HTTP exchanges with a provider: redaction, storage, lookup for replay, fitting of timing profiles."""
