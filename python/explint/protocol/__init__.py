"""Protocol profiles: what an experiment repository must look like, as data."""

from explint.protocol.detect import choose_profile
from explint.protocol.load import ProfileError, builtin_profiles, load_profile, profile_schema
from explint.protocol.profile import Profile

__all__ = [
    "Profile",
    "ProfileError",
    "builtin_profiles",
    "choose_profile",
    "load_profile",
    "profile_schema",
]
