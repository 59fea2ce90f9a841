"""Starts the observer in every Python process, then the sitecustomize that it stands before."""

import sys
from importlib.machinery import PathFinder
from os.path import abspath, dirname

import explint_observer  # type: ignore[import-not-found]

explint_observer.start()

_HERE = dirname(abspath(__file__))
_spec = PathFinder.find_spec(__name__, [p for p in sys.path if abspath(p) != _HERE])
if _spec is not None and _spec.loader is not None:
    from importlib.util import module_from_spec

    sys.modules[__name__] = _module = module_from_spec(_spec)
    _spec.loader.exec_module(_module)
