"""relight."""
