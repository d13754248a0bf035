"""What can be wrong with an encoder or with a comparison; apart from `base`, so that the catalogue needs no torch."""


class EncoderError(ValueError):
    """An encoder cannot be found, loaded or used; one line says what to do next."""


class SpaceError(ValueError):
    """Vectors of two different spaces were about to be compared."""
