"""EdgeFool."""
