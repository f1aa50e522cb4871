"""A run folder damaged at random places: readers tell it or say what is true, and the command makes it good."""

import random
import shutil

import pytest

from edgefool.errors import RunError, UsageError
from edgefool.report import load_results, make_tables
from edgefool.runs import load_records
from edgefool.storage import local_path

pytestmark = [pytest.mark.faults, pytest.mark.timeout(600)]

TRIES = 200


def flip(data, places):
    data = bytearray(data)
    for _ in range(places.choice([1, 1, 1, 8, 64])):
        data[places.randrange(len(data))] ^= 1 << places.randrange(8)
    return bytes(data)


def zero(data, places):
    at, size = places.randrange(len(data)), places.randint(1, 512)
    return data[:at] + bytes(len(data[at : at + size])) + data[at + size :]


def truncate(data, places):
    return data[: places.randrange(len(data))]


def remove(data, places):
    return None


def append(data, places):
    return data + places.randbytes(places.randint(1, 100)) + places.choice([b"", b"\n"])


def duplicate_line(data, places):
    lines = data.splitlines(keepends=True)
    lines.insert(places.randrange(len(lines) + 1), places.choice(lines))
    return b"".join(lines)


def swap_lines(data, places):
    lines = data.splitlines(keepends=True)
    first, second = places.randrange(len(lines)), places.randrange(len(lines))
    lines[first], lines[second] = lines[second], lines[first]
    return b"".join(lines)


DISTANCES = ["psnr", "ssim"]
DAMAGES = [flip, flip, zero, truncate, remove, append, duplicate_line, swap_lines]


def damage(folder, places):
    """Damage a file, each kind of file as likely, and return what was done."""
    kinds = {}
    for path in sorted(folder.rglob("*")):
        if path.is_file() and path.stat().st_size:
            name = path.relative_to(folder).parts[0]
            kinds.setdefault(name, []).append(path)
    path = places.choice(kinds[places.choice(sorted(kinds))])
    data, how = path.read_bytes(), places.choice(DAMAGES)
    damaged = how(data, places)
    if damaged is None:
        path.unlink()
    else:
        path.write_bytes(damaged)
    return path.relative_to(folder).parts[0], how.__name__, damaged != data


class Truth:
    """What the undisturbed run says: what readers make of a damaged one may be less, but nothing else."""

    def __init__(self, folder):
        self._results, self._records = load_results(folder), load_records(folder)

    def has(self, results, records):
        """Tell whether readers said nothing but the truth."""
        good = self._results
        facts = ("squeezers", "false_positive_rate", "label_classes", "kinds", "networks")
        return (
            all(getattr(results, name) == getattr(good, name) for name in facts)
            and not results.errors
            and results.cells.items() <= good.cells.items()
            and all(within(results.records[name], good.records[name]) for name in results.records)
            and all(
                results.quality(name).items() <= good.quality(name).items()
                and all(
                    part(results).items() <= part(good).items()
                    for other in good.cells.values()
                    for part in (
                        lambda of, name=name, other=other: numbers(of.of_adversarial(name, other.fingerprint)),
                        lambda of, other=other: numbers(of.of_originals(other.dataset, other.fingerprint)),
                    )
                )
                for name in results.cells
            )
            and not records.duplicated(["cell", "image"]).any()
            and among(records.drop(columns=DISTANCES), self._records.drop(columns=DISTANCES))
            and among(records.dropna(subset=DISTANCES), self._records)  # quality.jsonl may have lost the others
        )


def among(rows, everything):
    return len(rows.merge(everything, how="inner")) == len(rows)


def within(part, everything):
    known = [*everything, *(line.model_copy(update=dict.fromkeys(DISTANCES)) for line in everything)]
    return len({line.key for line in part}) == len(part) and all(line in known for line in part)


def numbers(answers):
    """Return answers such that they can be compared as sets."""
    return {image: line.model_dump_json() for image, line in answers.items()}


def test_damage_at_random_places(tmp_path, disturbed, tally, edgefool):
    good = local_path(disturbed.good.path)
    truth, places = Truth(good), random.Random(0)
    struck, kinds, ways = 0, set(), set()
    refused = mended = 0
    for number in range(TRIES):
        out = tmp_path / "run"
        shutil.copytree(good, out)
        name, way, changed = damage(out, places)
        tally.tries += 1
        struck += changed
        kinds.add(name)
        ways.add(way)
        try:
            results = load_results(out)
            make_tables(results)
            wrong = not truth.has(results, load_records(out))
        except (RunError, UsageError) as error:
            wrong = not str(error).isprintable()
            refused += 1
        if number % 10 == 0:
            code, _, stderr = edgefool("report", out)
            told = [line for line in stderr.splitlines() if "error" in line]
            wrong |= len(told) != (code != 0) or "Traceback" in stderr or list(out.rglob("*.partial")) != []
        attempt = disturbed.attempt(out)
        mended += bool(attempt.done)
        wrong |= not attempt.documented or (attempt.error is None and disturbed.differs(out))
        tally.lost += attempt.error is not None
        tally.wrong += bool(wrong)
        again = disturbed.attempt(out)
        tally.wrong += again.error is not None or bool(again.done)
        shutil.rmtree(out)
    tally.fault = (
        f"a file of a run damaged at a random place (readers refused {refused}, for {mended} the command made images "
        f"again, {TRIES - struck} times the same bytes came out)"
    )
    assert kinds == {path.name for path in good.iterdir()} - {".lock"}
    assert ways == {how.__name__ for how in DAMAGES}
    assert struck > TRIES * 0.8
    assert refused > TRIES * 0.15
    assert mended > TRIES * 0.3
    assert (tally.lost, tally.wrong) == (0, 0)
