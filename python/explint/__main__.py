"""``python -m explint`` is the command line."""

from explint.cli import main

if __name__ == "__main__":
    main()
