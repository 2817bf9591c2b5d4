"""Is what the README's first command left what it promises? Standard library alone."""

import csv
import json
import sys
from pathlib import Path

PROMISED = 0.985


def main() -> int:
    results = [json.loads(path.read_text()) for path in Path("runs").glob("*/result.json")]
    submissions = [path for path in Path("submissions").glob("*.csv") if path.name != "ledger.csv"]
    if len(results) != 1 or len(submissions) != 1:
        print(f"expected one run and one submission, found {len(results)} and {len(submissions)}")
        return 1
    with open(submissions[0], newline="") as file, open("data/digits/answers.csv", newline="") as answers:
        predicted = {row["id"]: row["label"] for row in csv.DictReader(file)}
        truth = {row["id"]: row["label"] for row in csv.DictReader(answers)}
    score = sum(predicted.get(name) == label for name, label in truth.items()) / len(truth)
    print(f"CV accuracy {results[0]['oof']:.4f}, submission {score:.4f}, promised {PROMISED}")
    return 0 if min(results[0]["oof"], score) >= PROMISED and len(predicted) == len(truth) else 1


if __name__ == "__main__":
    sys.exit(main())
