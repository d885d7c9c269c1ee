"""What runs on somebody else's engine, by its own counters: each hour of its machine split over the work. No torch."""
