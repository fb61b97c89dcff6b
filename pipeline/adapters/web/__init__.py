"""HTTP as every room of ours speaks it: over connections that are kept, each request before its deadline."""
