"""Rate limiters: token buckets in process memory, shared memory and Redis."""
