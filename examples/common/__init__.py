"""What the two applications share: options, fakes, checkpoints, and the closing report."""
