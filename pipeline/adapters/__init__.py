"""The world outside: one file or folder for each thing that this package reaches."""
