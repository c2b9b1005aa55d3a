"""Speed of the networks against their reference forms and against the machine: ``python -m benchmarks``."""
