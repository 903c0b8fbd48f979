"""TELL: what happens here, for those who watch from outside. It costs nothing where nobody watches."""
