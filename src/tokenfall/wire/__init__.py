"""Events to bytes and bytes to events. Nothing here awaits, reads a clock or knows a socket."""
