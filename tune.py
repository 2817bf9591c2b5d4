"""Searches the options that [search_space] names, on the contest's own folds, and writes the winner's config.

python tune.py [CONFIG.ini ...] [section.option=value ...] [--resume SEARCH] [--print-config] [--quiet]
"""

import sys

from modules.config.command_line import Command, run_script


def tune(command: Command) -> None:
    from modules.jobs.tuning import confirm_best, open_search, search_trials, tell_search

    with open_search(command) as (search, config):
        search_trials(search, config, command.quiet)
        best = confirm_best(search, config, command.quiet)
        print(*tell_search(search, config, best), sep="\n")


def main(arguments: list[str] | None = None) -> int:
    return run_script("tune", tune, arguments)


if __name__ == "__main__":
    sys.exit(main())
