"""What a person wants to see, or to take away, without training.

python look.py data | model | lr | runs | report | export | bundle   [CONFIG.ini ...] [section.option=value ...] [RUN ...]
"""

import sys

from modules.config.command_line import Command, run_script


def look(command: Command) -> None:
    # Imported here, after the config is known to be good: torch, timm and albumentations take seconds.
    from modules.jobs.looking import LOOKS

    assert command.look is not None
    print(*LOOKS[command.look](command), sep="\n")


def main(arguments: list[str] | None = None) -> int:
    return run_script("look", look, arguments)


if __name__ == "__main__":
    sys.exit(main())
