"""The error of a number that is not finite, in a file of its own: networks may raise it too."""


class NonFiniteError(Exception):
    """A number that is not finite was found inside a training step.

    The training loop treats it as it treats a loss that is not finite.
    """
