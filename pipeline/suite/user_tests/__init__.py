"""A user's own tests and prompts: which files they are, how they are collected and run, what they leave.

They are pytest's, in a session of their own inside the suite's process: what they set up, and the
``conftest.py`` that lies in their folder, reaches no check of ours, and the folders above theirs are not
looked at.
"""
