"""The agent, by `python -m fleet.agent`."""

from fleet.agent.cli import main

if __name__ == "__main__":
    main()
