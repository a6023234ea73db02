"""What holds for all tests."""

from hypothesis import HealthCheck, settings

# How long an example takes tells how busy the machine is, not whether the code is right: pytest's timeout is the limit.
settings.register_profile("livemef", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("livemef")
