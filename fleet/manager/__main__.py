"""The manager, by `python -m fleet.manager`."""

from fleet.manager.cli import main

if __name__ == "__main__":
    main()
