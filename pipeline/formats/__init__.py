"""Other people's formats, read in one place for everybody: pure, and made of text and numbers alone."""
