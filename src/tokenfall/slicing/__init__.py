"""Long computations in slices, so that one request does not block the event loop."""
