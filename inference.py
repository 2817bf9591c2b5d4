"""Predicts the test set with every fold's best model, and writes the submission.

python inference.py [CONFIG.ini ...] [section.option=value ...] [--print-config] [--quiet]
"""

import sys

from modules.config.command_line import Command, run_script


def infer(command: Command) -> None:
    # Imported here, after the config is known to be good: torch, timm and albumentations take seconds.
    from modules.jobs.inference import load_test_set, open_trained, predict_test, submit
    from modules.reporting.summary import describe_submission, describe_trained

    config = command.config
    run = open_trained(config)
    if not command.quiet:
        print(describe_trained(run.directory, run.result))
    test = load_test_set(config, run)
    predictions = predict_test(config, run, test.samples, command.quiet)
    path = submit(config, run, test.template, predictions)
    score = None if test.answers is None else run.metric.score(test.answers, predictions.probabilities)
    print(*describe_submission(path, test.template, score, run.metric.name), sep="\n")


def main(arguments: list[str] | None = None) -> int:
    return run_script("inference", infer, arguments)


if __name__ == "__main__":
    sys.exit(main())
