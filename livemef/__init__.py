"""livemef: any camera that can change its exposure becomes a live HDR camera."""

import logging

logging.getLogger("livemef").addHandler(logging.NullHandler())
