"""Predicts the test set with every fold's best model, of one run or several, and writes the submission.

python inference.py [CONFIG.ini ...] [section.option=value ...] [--print-config] [--quiet]
"""

import sys

from modules.config.command_line import Command, run_script


def infer(command: Command) -> None:
    # Imported here, after the config is known to be good: torch, timm and albumentations take seconds.
    from modules.jobs.blending import describe_blend, make_blend
    from modules.jobs.inference import load_test_set, predict_test, start, submit
    from modules.jobs.trained import open_trained
    from modules.reporting.summary import describe_submission, describe_trained

    config, quiet = command.config, command.quiet
    runs = open_trained(config)
    if not quiet:
        print(*(describe_trained(run.directory, run.result) for run in runs), sep="\n", flush=True)
    test = load_test_set(config, runs)
    process = start(config)
    blend = make_blend(config, runs, process, quiet)
    if not quiet:
        print("".join(f"{line}\n" for line in describe_blend(config, blend)), end="", flush=True)
    predictions = predict_test(config, blend, test.samples, process, quiet)
    path = submit(config, blend, test, predictions)
    score = None if test.answers is None else blend.metric.measure(blend.task, test.answers, predictions.values, blend.decision)
    print(*describe_submission(path, test.template, score, blend.metric.name, test.output), sep="\n")


def main(arguments: list[str] | None = None) -> int:
    return run_script("inference", infer, arguments)


if __name__ == "__main__":
    sys.exit(main())
