"""Other people's stacks on the benchmark's shape, each as a function that builds one full training step."""
