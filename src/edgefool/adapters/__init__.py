"""EdgeFool and other libraries of attacks: their attacks as methods of plans.

Their names are ``foolbox:NAME``, ``torchattacks:NAME``, ``torchattack:NAME``, ``art:NAME`` and ``adv-lib:NAME``. A
library is imported when an attack of it is used, not before.
"""

from edgefool.adapters.peer_attack import LIBRARIES, PeerAttack, make_peer_attack
from edgefool.attacks.registry import FACTORIES

__all__ = ["LIBRARIES", "PeerAttack", "make_peer_attack"]

FACTORIES.update(dict.fromkeys(LIBRARIES, make_peer_attack))
