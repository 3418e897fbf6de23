"""What several methods share and is no network: memories, moving averages, clusterings, losses, one batch of many processes."""
