"""Errors that end the run with one line for the user."""


class SetupError(Exception):
    """Something this machine lacks; the text says what to do."""
