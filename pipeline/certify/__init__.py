"""The static certificate: will this image run, and where, told from its files alone, without a GPU."""
