"""Predicts the test set with every fold's best model, and writes the submission.

python inference.py [CONFIG.ini ...] [section.option=value ...] [--print-config] [--quiet]
"""

import sys

from modules.config.command_line import Command, run_script


def infer(command: Command) -> None:
    # Imported here, after the config is known to be good: torch, timm and albumentations take seconds.
    from modules.jobs.inference import load_test_samples, open_trained, predict_test, score_test, submit
    from modules.reporting.summary import describe_submission, describe_trained

    config = command.config
    run = open_trained(config)
    if not command.quiet:
        print(describe_trained(run.directory, run.result))
    test = load_test_samples(config, run)
    predictions = predict_test(config, run, test, command.quiet)
    score = score_test(config, run, predictions)
    path, form = submit(config, run, predictions)
    print(*describe_submission(path, len(test), form, run.metric.name, score), sep="\n")


def main(arguments: list[str] | None = None) -> int:
    return run_script("inference", infer, arguments)


if __name__ == "__main__":
    sys.exit(main())
