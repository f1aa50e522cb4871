"""EdgeFool and other libraries of attacks: their attacks as methods of plans, and ours as attacks of theirs.

Their names are ``foolbox:NAME``, ``torchattacks:NAME``, ``torchattack:NAME``, ``art:NAME`` and ``adv-lib:NAME``. A
library is imported when an attack of it is used, not before. The modules `edgefool.adapters.foolbox`,
`edgefool.adapters.torchattacks` and `edgefool.adapters.art` have our attacks as these libraries' own.
"""

from edgefool.adapters.peer_attack import LIBRARIES, PeerAttack, make_peer_attack
from edgefool.attacks.registry import FACTORIES

__all__ = ["LIBRARIES", "PeerAttack", "make_peer_attack"]

FACTORIES.update(dict.fromkeys(LIBRARIES, make_peer_attack))
