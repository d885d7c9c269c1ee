"""What is known before anything runs: model configurations, chips and dated prices. Data files; never imports torch."""
