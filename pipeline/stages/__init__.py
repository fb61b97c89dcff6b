"""The stages, each from one value to the next; no stage imports another."""
