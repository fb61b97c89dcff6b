"""The models of the modes: each is the tiny model in another form, or one made by hand."""
