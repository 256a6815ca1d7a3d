"""Certificates: the same training run on every backend, and how far it drifts from the reference.

`certify` is not among `chainrule`'s names because this package has that name already:
``from chainrule.certify import certify``.
"""

from chainrule.certify.certificate import Certificate, Row
from chainrule.certify.run import certify
from chainrule.certify.tolerances import TOLERANCES, Tolerance

__all__ = ["TOLERANCES", "Certificate", "Row", "Tolerance", "certify"]
