"""Errors of encoders and of comparisons; separate from `base`, so that the catalogue does not need torch."""


class EncoderError(ValueError):
    """An encoder cannot be found, loaded or used; the one-line message states what to do."""


class SpaceError(ValueError):
    """Vectors of two different spaces are compared."""


def type_name(value: object) -> str:
    """Name of a value's type for messages; "None" for None."""
    return "None" if value is None else type(value).__name__


def one_line(error: Exception) -> str:
    """An error's message on one line of up to 200 characters."""
    return " ".join(str(error).split())[:200] or type(error).__name__
