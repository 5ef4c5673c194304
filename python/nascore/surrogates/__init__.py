"""Models that guess what an evaluation would say."""
