"""Trains every fold of the contest that config.ini describes.

python train.py [CONFIG.ini ...] [section.option=value ...] [--check] [--resume RUN] [--print-config] [--quiet]
"""

import sys

from modules.config.command_line import Command, run_script


def train(command: Command) -> None:
    # Imported here, after the config is known to be good: torch, timm and albumentations take seconds.
    from modules.jobs.checking import check_plan
    from modules.jobs.folds import finish_run, train_folds
    from modules.jobs.report import conclude
    from modules.jobs.runs import finished_run, open_run, plan_only
    from modules.reporting.sinks import open_sinks
    from modules.reporting.summary import describe_run, describe_start

    if finished := finished_run(command):
        print(f"{finished.path} is finished already", *describe_run(finished), sep="\n")
    elif command.check:
        print(*check_plan(plan_only(command)), sep="\n")
    else:
        with open_run(command) as (run, plan), open_sinks(plan, run, command.quiet) as sinks:
            if not command.quiet:
                print(describe_start(run, plan), flush=True)
            finish_run(plan, run, train_folds(plan, run, sinks))
            print(*describe_run(run), flush=True, sep="\n")
            print(*conclude(plan, run, sinks), f"run: {run.path}", sep="\n")


def main(arguments: list[str] | None = None) -> int:
    return run_script("train", train, arguments)


if __name__ == "__main__":
    sys.exit(main())
