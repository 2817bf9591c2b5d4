"""Small copies of contests' layouts, made from nothing: the names of files, headers and forms of ids are theirs.

Images are a colour each (grey ones a brightness), which tells their label. The template's rows have another order than
the folder's, and its columns, where there is one a class, than the alphabet's.
"""

from __future__ import annotations

import colorsys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random

import numpy as np
import pandas as pd
from PIL import Image

from tests.contests.forms import Form, Lists, Names, Numbers, read
from tests.mask_layout import make_mask_contest

Row = dict[str, object]


class Copy:
    """A contest's folder while it is made. asked: the template. answers: the perfect submission, which nobody is given."""

    def __init__(self, folder: Path, train: int = 48, test: int = 12) -> None:
        self.folder, self.train, self.test = folder, train, test
        self.random, self.noise = Random(0), np.random.default_rng(0)
        self.asked = folder / "sample_submission.csv"
        self.answers: dict[str, list[str]] = {}

    def code(self, digits: int) -> str:
        """A hexadecimal id."""
        return f"{self.random.getrandbits(4 * digits):0{digits}x}"

    def number(self, digits: int) -> str:
        return str(self.random.randrange(10 ** (digits - 1), 10**digits))

    def colour(self, path: str, share: float, height: int = 20, width: int = 20) -> None:
        """An image of one hue; share: from 0 to 1."""
        rgb = np.array(colorsys.hsv_to_rgb(0.75 * share, 0.9, 0.85)) * 255
        self._save(path, self.noise.normal(rgb, 12, (height, width, 3)))

    def grey(self, path: str, share: float, height: int = 20, width: int = 20) -> None:
        """An image of one brightness."""
        self._save(path, self.noise.normal(40 + 180 * share, 12, (height, width)))

    def table(self, path: str, rows: Sequence[Row]) -> None:
        (self.folder / path).parent.mkdir(parents=True, exist_ok=True)
        pd.DataFrame(rows).to_csv(self.folder / path, index=False, lineterminator="\n")

    def template(self, path: str, rows: Sequence[Row], placeholder: object) -> None:
        """Writes the answers with a placeholder in their place, and keeps them. The first column is the id."""
        rows = self.mixed(rows)
        name, *columns = rows[0]
        self.asked = self.folder / path
        self.table(path, [{name: row[name], **dict.fromkeys(columns, placeholder)} for row in rows])
        self.answers = {str(row[name]): [str(row[column]) for column in columns] for row in rows}

    def mixed(self, rows: Sequence[Row]) -> list[Row]:
        """In another order, which is no sorted one."""
        rows = list(rows)
        self.random.shuffle(rows)
        ids = [str(next(iter(row.values()))) for row in rows]
        if ids == sorted(ids):
            rows.reverse()
        return rows

    def _save(self, path: str, pixels: np.ndarray) -> None:
        (self.folder / path).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(self.folder / path, quality=95)


def hue(names: Sequence[str], name: str) -> float:
    return names.index(name) / max(1, len(names) - 1)


def one_hot(names: Sequence[str], name: str) -> Row:
    return {each: int(each == name) for each in names}


def mask(copy: Copy) -> None:
    """Thirty people in the layout of tests/mask_layout.py."""
    make_mask_contest(copy.folder, people=30, boundary=58)
    copy.asked = copy.folder / "eval/info.csv"
    copy.answers = read(copy.folder / "answers.csv").cells


CASSAVA = ("0", "1", "2", "3", "4")


def cassava(copy: Copy) -> None:
    """image_id has its suffix; the class is a number."""
    rows = {"train": [], "test": []}
    for part, count in (("train", copy.train), ("test", copy.test)):
        for row in range(count):
            name, label = f"{copy.number(9)}.jpg", CASSAVA[row % 5]
            copy.colour(f"{part}_images/{name}", hue(CASSAVA, label))
            rows[part].append({"image_id": name, "label": label})
    copy.table("train.csv", rows["train"])
    copy.template("sample_submission.csv", rows["test"], 4)


PLANTS_2020 = ("healthy", "multiple_diseases", "rust", "scab")


def plants_2020(copy: Copy) -> None:
    """One-hot columns; train and test in one folder; ids without a suffix."""
    rows: dict[str, list[Row]] = {"Train": [], "Test": []}
    for part, count in (("Train", copy.train), ("Test", copy.test)):
        for row in range(count):
            label = PLANTS_2020[row % 4]
            copy.colour(f"images/{part}_{row}.jpg", hue(PLANTS_2020, label))
            rows[part].append({"image_id": f"{part}_{row}", **one_hot(PLANTS_2020, label)})
    copy.table("train.csv", rows["Train"])
    copy.table("test.csv", [{"image_id": row["image_id"]} for row in rows["Test"]])
    copy.template("sample_submission.csv", rows["Test"], 0.25)


PLANTS_2021 = ("healthy", "scab", "frog_eye_leaf_spot", "complex", "rust", "powdery_mildew")
TOGETHER_2021 = ("healthy", "scab", "frog_eye_leaf_spot complex", "scab frog_eye_leaf_spot", "rust", "powdery_mildew complex")


def plants_2021(copy: Copy) -> None:
    """A cell of labels, separated by a space."""
    rows: dict[str, list[Row]] = {"train": [], "test": []}
    for part, count in (("train", copy.train), ("test", copy.test)):
        for row in range(count):
            name, labels = f"{copy.code(16)}.jpg", TOGETHER_2021[row % 6]
            copy.colour(f"{part}_images/{name}", hue(TOGETHER_2021, labels), 20, 30)
            rows[part].append({"image": name, "labels": labels})
    copy.table("train.csv", rows["train"])
    copy.template("sample_submission.csv", rows["test"], "healthy")


def melanoma(copy: Copy) -> None:
    """A patient has several images; what is known of patients stands in both tables, and not of everybody."""
    sites = ("torso", "lower extremity", "head/neck", "")
    rows: dict[str, list[Row]] = {"train": [], "test": []}
    for part, count in (("train", copy.train), ("test", copy.test)):
        for row in range(count):
            target = int(row % 4 == 0)
            about = {
                "image_name": f"ISIC_{copy.number(7)}",
                "patient_id": f"IP_{part}_{row // 3:04d}",
                "sex": ("male", "female", "")[row % 3],
                "age_approx": ("45.0", "60.0", "", "35.0")[row % 4],
                "anatom_site_general_challenge": sites[row % 4 - 1],
            }
            copy.colour(f"jpeg/{part}/{about['image_name']}.jpg", target, 20, 30)
            kind = ("benign", "malignant")[target]
            known = {"diagnosis": ("unknown", "melanoma")[target], "benign_malignant": kind, "target": target}
            rows[part].append(about | known)
    copy.table("train.csv", rows["train"])
    copy.table("test.csv", [dict(list(row.items())[:5]) for row in rows["test"]])
    copy.template("sample_submission.csv", [{name: row[name] for name in ("image_name", "target")} for row in rows["test"]], 0)


RANZCR = (
    *("ETT - Abnormal", "ETT - Borderline", "ETT - Normal"),
    *("NGT - Abnormal", "NGT - Borderline", "NGT - Incompletely Imaged", "NGT - Normal"),
    *("CVC - Abnormal", "CVC - Borderline", "CVC - Normal", "Swan Ganz Catheter Present"),
)


def ranzcr(copy: Copy) -> None:
    """Eleven columns, of which several may be 1; ids with dots in them and no suffix."""
    rows: dict[str, list[Row]] = {"train": [], "test": []}
    for part, count in (("train", copy.train), ("test", copy.test)):
        for row in range(count):
            name, kind = f"1.2.826.0.1.3680043.8.498.{copy.number(38)}", row % 12
            copy.grey(f"{part}/{name}.jpg", kind / 11, 24, 24)
            labels = {label: int(place in (kind, kind - 1)) for place, label in enumerate(RANZCR)}
            rows[part].append({"StudyInstanceUID": name, **labels, "PatientID": copy.code(9)[: 9 - row % 2]})
    copy.table("train.csv", rows["train"])
    copy.template("sample_submission.csv", [{n: c for n, c in row.items() if n != "PatientID"} for row in rows["test"]], 0)


def aptos(copy: Copy) -> None:
    """Grades 0 to 4; images of several sizes."""
    rows: dict[str, list[Row]] = {"train": [], "test": []}
    for part, count in (("train", copy.train), ("test", copy.test)):
        for row in range(count):
            name, grade = copy.code(12), row % 5
            copy.colour(f"{part}_images/{name}.png", grade / 4, 20 + row % 3, 24)
            rows[part].append({"id_code": name, "diagnosis": grade})
    copy.table("train.csv", rows["train"])
    copy.table("test.csv", [{"id_code": row["id_code"]} for row in rows["test"]])
    copy.template("sample_submission.csv", rows["test"], 0)


PETS = ("Subject Focus", "Eyes", "Face", "Near", "Action", "Accessory", "Group", "Collage", "Human", "Occlusion", "Info", "Blur")


def pawpularity(copy: Copy) -> None:
    """A score from 1 to 100, and twelve columns of what a person saw."""
    rows: dict[str, list[Row]] = {"train": [], "test": []}
    for part, count in (("train", copy.train), ("test", copy.test)):
        for row in range(count):
            name, score = copy.code(32), 1 + (row * 37) % 100
            copy.colour(f"{part}/{name}.jpg", score / 100)
            seen = {pet: copy.random.randrange(2) for pet in PETS}
            rows[part].append({"Id": name, **seen, "Pawpularity": score})
    copy.table("train.csv", rows["train"])
    copy.table("test.csv", [{n: c for n, c in row.items() if n != "Pawpularity"} for row in rows["test"]])
    copy.template("sample_submission.csv", [{"Id": row["Id"], "Pawpularity": row["Pawpularity"]} for row in rows["test"]], 38.4)


PROTEINS = ("0", "2", "7", "16", "23", "25")
TOGETHER_PROTEINS = ("0", "16 0", "25", "7 2", "23", "2 25 0")


def proteins(copy: Copy) -> None:
    """Four grey files an image; labels are numbers, separated by a space; the template's column has another name."""
    rows: dict[str, list[Row]] = {"train": [], "test": []}
    for part, count in (("train", copy.train), ("test", copy.test)):
        for row in range(count):
            parts = [copy.code(each) for each in (8, 4, 4, 4, 12)]
            name, place = "-".join(parts), row % len(TOGETHER_PROTEINS)
            for bit, colour in enumerate(("red", "green", "blue", "yellow")):
                copy.grey(f"{part}/{name}_{colour}.png", ((place + 1) >> bit & 1) * 0.9)
            rows[part].append({"Id": name, "Target": TOGETHER_PROTEINS[place]})
    copy.table("train.csv", rows["train"])
    copy.template("sample_submission.csv", [{"Id": row["Id"], "Predicted": row["Target"]} for row in rows["test"]], 0)


PADDY = ("bacterial_leaf_blight", "blast", "brown_spot", "hispa", "normal", "tungro")


def paddy(copy: Copy) -> None:
    """A folder a class and a table besides; the template's label is blank."""
    rows: dict[str, list[Row]] = {"train": [], "test": []}
    for part, count, first in (("train", copy.train, 100001), ("test", copy.test, 200001)):
        for row in range(count):
            label, name = PADDY[row % len(PADDY)], f"{first + row}.jpg"
            copy.colour(f"{part}_images/{label}/{name}" if part == "train" else f"test_images/{name}", hue(PADDY, label), 24, 18)
            rows[part].append({"image_id": name, "label": label, "variety": ("ADT45", "Ponni")[row % 2], "age": 45 + row})
    copy.table("train.csv", copy.mixed(rows["train"]))
    copy.template("sample_submission.csv", [{"image_id": row["image_id"], "label": row["label"]} for row in rows["test"]], "")


DIGITS = (0, 3, 6, 9)


def digit_recognizer(copy: Copy) -> None:
    """Pixels in the tables, which have no ids; those of the template count from 1. Four digits in place of ten."""
    rows: dict[str, list[Row]] = {"train": [], "test": []}
    for part, count in (("train", copy.train), ("test", copy.test)):
        for row in range(count):
            digit = DIGITS[row * 7 % 4]
            values = copy.noise.normal(25 * digit, 8, 784).clip(0, 255).astype(int).tolist()
            rows[part].append({"label": digit} | {f"pixel{place}": value for place, value in enumerate(values)})
    copy.table("train.csv", rows["train"])
    copy.table("test.csv", [{n: c for n, c in row.items() if n != "label"} for row in rows["test"]])
    copy.template("sample_submission.csv", [{"ImageId": row + 1, "Label": each["label"]} for row, each in enumerate(rows["test"])], 0)


BREEDS = ("affenpinscher", "basenji", "boston_bull", "chow", "dingo", "german_short-haired_pointer", "pug", "whippet")


def dog_breed(copy: Copy) -> None:
    """A probability a breed; the table is labels.csv; 8 breeds in place of 120."""
    columns = copy.random.sample(BREEDS, len(BREEDS))
    rows: dict[str, list[Row]] = {"train": [], "test": []}
    for part, count in (("train", copy.train), ("test", copy.test)):
        for row in range(count):
            name, label = copy.code(32), BREEDS[row % len(BREEDS)]
            copy.colour(f"{part}/{name}.jpg", hue(BREEDS, label))
            rows[part].append({"id": name, "breed": label} if part == "train" else {"id": name, **one_hot(columns, label)})
    copy.table("labels.csv", rows["train"])
    copy.template("sample_submission.csv", rows["test"], 1 / 120)


def dogs_and_cats(copy: Copy) -> None:
    """No table: the file's name begins with the label. Test files are numbers, and so are ids."""
    for row in range(copy.train):
        label = ("cat", "dog")[row % 2]
        copy.colour(f"train/{label}.{row // 2}.jpg", row % 2)
    rows = []
    for row in range(copy.test):
        copy.colour(f"test/{row + 1}.jpg", row % 2)
        rows.append({"id": row + 1, "label": row % 2})
    copy.template("sample_submission.csv", rows, 0.5)


DRIVING = tuple(f"c{number}" for number in range(10))


def state_farm(copy: Copy) -> None:
    """A folder a class, and a table that tells who drives; a probability a class."""
    columns = copy.random.sample(DRIVING, len(DRIVING))
    rows: list[Row] = []
    for row in range(60):
        label, name = DRIVING[row % 10], f"img_{1000 + row * 3}.jpg"
        copy.colour(f"imgs/train/{label}/{name}", hue(DRIVING, label), 18, 24)
        rows.append({"subject": f"p{row // 10:03d}", "classname": label, "img": name})
    copy.table("driver_imgs_list.csv", rows)
    tests: list[Row] = []
    for row in range(copy.test):
        copy.colour(f"imgs/test/img_{row + 1}.jpg", (row % 10) / 9, 18, 24)
        tests.append({"img": f"img_{row + 1}.jpg", **one_hot(columns, DRIVING[row % 10])})
    copy.template("sample_submission.csv", tests, 0.1)


ATTRIBUTES = ("448", "782", "1059", "2429", "3093")
TOGETHER_ATTRIBUTES = ("448", "782 2429", "1059", "3093 448", "2429 1059 782")


def imet(copy: Copy) -> None:
    """Numbers of attributes, separated by a space; ids without a suffix."""
    rows: dict[str, list[Row]] = {"train": [], "test": []}
    for part, count in (("train", copy.train), ("test", copy.test)):
        for row in range(count):
            name, labels = copy.code(32), TOGETHER_ATTRIBUTES[row % 5]
            copy.colour(f"{part}/{name}.png", hue(TOGETHER_ATTRIBUTES, labels), 20, 26)
            rows[part].append({"id": name, "attribute_ids": labels})
    copy.table("labels.csv", [{"attribute_id": each, "attribute_name": f"tags::{each}"} for each in ATTRIBUTES])
    copy.table("train.csv", rows["train"])
    copy.template("sample_submission.csv", rows["test"], "448 782 1059")


GRAPHEMES = {"grapheme_root": 4, "vowel_diacritic": 3, "consonant_diacritic": 2}


def bengali(copy: Copy) -> None:
    """Three labels an image, each in a row of its own: row_id is IMAGE_OUTPUT. Images are files, which the contest's are not."""
    rows: dict[str, list[Row]] = {"train": [], "test": []}
    for part, count in (("train", copy.train), ("test", copy.test)):
        for row in range(count):
            level = row % 4
            labels = {"grapheme_root": level, "vowel_diacritic": max(0, level - 1), "consonant_diacritic": level // 2}
            copy.grey(f"{part}/{part.capitalize()}_{row}.png", level / 3, 27, 47)
            rows[part].append({"image_id": f"{part.capitalize()}_{row}", **labels})
    copy.table("train.csv", [row | {"grapheme": "ক"} for row in rows["train"]])
    asked = [(row, name) for row in rows["test"] for name in ("consonant_diacritic", "grapheme_root", "vowel_diacritic")]
    ids = [{"row_id": f"{row['image_id']}_{name}", "image_id": row["image_id"], "component": name} for row, name in asked]
    copy.table("test.csv", ids)
    answers = [{"row_id": each["row_id"], "target": row[name]} for each, (row, name) in zip(ids, asked, strict=True)]
    copy.template("sample_submission.csv", answers, 0)


OCEAN = ("CC", "EC", "HGSC", "LGSC", "MC")


def ocean(copy: Copy) -> None:
    """Ids are numbers, files their thumbnails; one of the test is what no training image is."""
    rows: dict[str, list[Row]] = {"train": [], "test": []}
    for part, count in (("train", copy.train), ("test", copy.test)):
        for row in range(count):
            number, label = 4 + row * 131 + (part == "test"), OCEAN[row % 5]
            path = f"{part}_thumbnails/{number}_thumbnail.png"
            if part == "test" and row == count - 1:
                label = "Other"
                copy.grey(path, 0.5, 20, 28)
            else:
                copy.colour(path, hue(OCEAN, label), 20, 28)
            size = {"image_width": 23785, "image_height": 20008}
            rows[part].append({"image_id": number, "label": label, **size, "is_tma": False})
    copy.table("train.csv", rows["train"])
    copy.table("test.csv", [{n: row[n] for n in ("image_id", "image_width", "image_height")} for row in rows["test"]])
    copy.template("sample_submission.csv", [{"image_id": row["image_id"], "label": row["label"]} for row in rows["test"]], "HGSC")


VOTES = ("seizure_vote", "lpd_vote", "gpd_vote", "lrda_vote", "grda_vote", "other_vote")


def hms(copy: Copy) -> None:
    """Counts of votes; shares of them are asked for. A row an eeg_id, spectrograms as images: the contest's are neither."""
    rows: dict[str, list[Row]] = {"train": [], "test": []}
    for part, count in (("train", copy.train), ("test", copy.test)):
        for row in range(count):
            name, most = copy.number(9), row % 6
            votes = {vote: 3 * (place == most) + (place == (most + 1) % 6) for place, vote in enumerate(VOTES)}
            copy.colour(f"{part}_spectrograms/{name}.png", most / 5, 20, 30)
            consensus = VOTES[most].partition("_")[0]
            about = {"eeg_id": name, "spectrogram_id": copy.number(9), "patient_id": 100 + row // 6, "expert_consensus": consensus}
            rows[part].append(about | votes)
    copy.table("train.csv", rows["train"])
    copy.table("test.csv", [{n: row[n] for n in ("spectrogram_id", "eeg_id", "patient_id")} for row in rows["test"]])
    answers = [{"eeg_id": row["eeg_id"]} | {vote: int(str(row[vote])) / 4 for vote in VOTES} for row in rows["test"]]
    copy.template("sample_submission.csv", answers, 1 / 6)


CARS = ("1시리즈_F20_2013_2015", "5008_2세대_2018_2019", "911_992_2020_2024", "K5_2세대_2016_2018", "Q30_2017_2019", "e-트론_2020_2022")


def car_models(copy: Copy) -> None:
    """A folder a class, named in Korean; test.csv has ID and img_path; a probability a class; 6 classes in place of 396."""
    columns = copy.random.sample(CARS, len(CARS))
    for row in range(copy.train):
        label = CARS[row % len(CARS)]
        copy.colour(f"train/{label}/{label}_{row:04d}.jpg", hue(CARS, label), 20, 28)
    rows: list[Row] = []
    for row in range(copy.test):
        copy.colour(f"test/TEST_{row:05d}.jpg", hue(CARS, CARS[row % len(CARS)]), 20, 28)
        rows.append({"ID": f"TEST_{row:05d}", **one_hot(columns, CARS[row % len(CARS)])})
    copy.table("test.csv", [{"ID": row["ID"], "img_path": f"./test/{row['ID']}.jpg"} for row in rows])
    copy.template("sample_submission.csv", rows, 0)


CROPS = ("1_00_0", "2_a5_2", "3_b6_1", "4_00_0", "5_a7_2", "6_b8_1")


def crop_disease(copy: Copy) -> None:
    """A folder an id, with the image and other files in it; ids are numbers."""
    rows: dict[str, list[Row]] = {"train": [], "test": []}
    for part, count in (("train", copy.train), ("test", copy.test)):
        for row in range(count):
            name, label = str(10000 + 2 * row + (part == "train")), CROPS[row % len(CROPS)]
            copy.colour(f"{part}/{name}/{name}.jpg", hue(CROPS, label))
            copy.table(f"{part}/{name}/{name}.csv", [{"측정시각": "20210101", "내부 온도 1 평균": 20.5}])
            rows[part].append({"image": name, "label": label})
    copy.table("train.csv", copy.mixed(rows["train"]))
    copy.table("test.csv", [{"image": row["image"]} for row in rows["test"]])
    copy.template("sample_submission.csv", rows["test"], "1_00_0")


DOCUMENTS = tuple(str(number) for number in range(17))


def documents(copy: Copy) -> None:
    """ID has its suffix; the class is a number; meta.csv has the names."""
    rows: dict[str, list[Row]] = {"train": [], "test": []}
    for part, count in (("train", 68), ("test", 17)):
        for row in range(count):
            name, label = f"{copy.code(16)}.jpg", DOCUMENTS[row % 17]
            copy.colour(f"{part}/{name}", hue(DOCUMENTS, label), 26, 20)
            rows[part].append({"ID": name, "target": label})
    copy.table("train.csv", rows["train"])
    copy.table("meta.csv", [{"target": label, "class_name": f"document_{label}"} for label in DOCUMENTS])
    copy.template("sample_submission.csv", rows["test"], 0)


@dataclass(frozen=True)
class Contest:
    """title: of its section in docs/contests.md. small: overrides besides those that make every contest small.

    chance: how right a submission may be at most whose rows went to other ids; one that learnt is beyond it.
    """

    title: str
    make: Callable[[Copy], None]
    form: Form
    small: tuple[str, ...] = ()
    chance: float = 0.75


CONTESTS: Mapping[str, Contest] = {
    contest.title: contest
    for contest in (
        Contest("Mask wearing", mask, Names(tuple(str(number) for number in range(18))), ("hyper_params.epochs=2",), chance=0.3),
        Contest("Cassava Leaf Disease", cassava, Names(CASSAVA)),
        Contest("Plant Pathology 2020", plants_2020, Numbers()),
        Contest("Plant Pathology 2021", plants_2021, Lists(PLANTS_2021)),
        Contest("SIIM-ISIC Melanoma", melanoma, Numbers()),
        Contest("RANZCR CLiP", ranzcr, Numbers()),
        Contest("APTOS 2019", aptos, Names(("0", "1", "2", "3", "4")), ("hyper_params.epochs=8",)),
        Contest("Pawpularity", pawpularity, Numbers(1, 100)),
        Contest("Human Protein Atlas 2018", proteins, Lists(PROTEINS)),
        Contest("Paddy Disease", paddy, Names(PADDY)),
        Contest("Digit Recognizer", digit_recognizer, Names(tuple("0123456789"))),
        Contest("Dog Breed Identification", dog_breed, Numbers(sums=True)),
        Contest("Dogs vs. Cats Redux", dogs_and_cats, Numbers()),
        Contest("State Farm Distracted Driver", state_farm, Numbers(sums=True)),
        Contest("iMet 2020", imet, Lists(ATTRIBUTES)),
        Contest("Bengali.AI", bengali, Names(("0", "1", "2", "3"))),
        Contest("UBC-OCEAN", ocean, Names((*OCEAN, "Other"))),
        Contest("HMS Harmful Brain Activity", hms, Numbers(sums=True)),
        Contest("DACON car models", car_models, Numbers(sums=True)),
        Contest("DACON crop disease", crop_disease, Names(CROPS)),
        Contest("Upstage document types", documents, Names(DOCUMENTS), ("hyper_params.epochs=8",), chance=0.3),
    )
}
