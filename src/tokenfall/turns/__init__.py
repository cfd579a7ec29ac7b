"""Running turns: execution, state, and sharing with other processes."""
