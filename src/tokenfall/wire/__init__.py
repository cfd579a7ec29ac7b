"""Wire formats: encodes events to bytes and decodes bytes to events. Pure: no I/O, no clock, no sockets."""
