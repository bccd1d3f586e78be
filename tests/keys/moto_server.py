"""moto's server, whose KMS here also signs digests: moto itself takes what it is given for a message, whatever MessageType says
("not yet implemented", moto/kms/models.py of 5.2). All else is as moto has it.

    moto_server.py [OPTION…]      the options of moto_server
"""

import sys
import threading

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed
from moto.kms import utils
from moto.kms.responses import KmsResponse
from moto.server import main

asked = threading.local()
sign = KmsResponse.sign


class Hashes:
    def __getattr__(self, name):
        function = getattr(hashes, name)
        return (lambda: Prehashed(function())) if getattr(asked, "for_digest", False) else function


def sign_as_asked(self):
    asked.for_digest = self._get_param("MessageType") == "DIGEST"
    try:
        return sign(self)
    finally:
        asked.for_digest = False


utils.hashes = Hashes()
KmsResponse.sign = sign_as_asked
main(sys.argv[1:])
