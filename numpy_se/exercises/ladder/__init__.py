"""The ladder: one exercise a file, in the order of their numbers."""
