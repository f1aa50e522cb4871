"""A run carried out by workers."""
