"""Where turns under way can be followed from other processes."""
