"""What the two applications share: options, fakes, the worker, and what is told of the jobs."""
