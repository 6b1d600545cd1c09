"""Runs the cases against a broker, and records what it does or compares it with what
was recorded of another. Usage: see --help; run.sh starts the brokers."""

import argparse
import concurrent.futures
import fnmatch
import importlib
import itertools
import json
import os
import pathlib
import sys
import time
import tomllib

import client
from trial import CASES, Broker, observe

HERE = pathlib.Path(__file__).parent
DOCUMENT = HERE.parents[1] / "docs/compatibility.md"
AT_ONCE = 8


def load() -> None:
    """Imports all cases."""
    for path in sorted((HERE / "cases").glob("*.py")):
        importlib.import_module(f"cases.{path.stem}")


def run(broker: Broker, names: list[str], at_once: int = AT_ONCE) -> dict[str, list]:
    """The observations of these cases: many at once, those that must be alone after them."""
    together = [name for name in names if not CASES[name].alone]
    with concurrent.futures.ThreadPoolExecutor(at_once) as pool:
        seen = dict(zip(together, pool.map(lambda name: observe(broker, CASES[name]), together)))
    for name in names:
        if CASES[name].alone:
            seen[name] = observe(broker, CASES[name])
    return {name: seen[name] for name in names}


def differences(expected: list, found: list) -> list[str]:
    """The labels of the observations that are not the same."""
    one, other = labelled(expected), labelled(found)
    return [label for label in {**one, **other} if one.get(label) != other.get(label)]


def labelled(seen: list) -> dict:
    """Observations by label; a label that comes twice is numbered."""
    by_label = {}
    for label, value in seen:
        again = sum(1 for known in by_label if known == label or known.startswith(f"{label} #"))
        by_label[f"{label} #{again + 1}" if again else label] = value
    return by_label


def shown(label: str, expected: list, found: list, kind: str) -> str:
    """One difference for a reader: what is the same at both ends is left out of long ones."""
    seen = [labelled(one) for one in (expected, found)]
    one, other = (json.dumps(by[label], ensure_ascii=False) if label in by else "(nothing)" for by in seen)
    start = len(os.path.commonprefix([one, other]))
    start = 0 if len(one) + len(other) < 400 else max(0, start - 80)
    dots = "…" if start else ""
    return f"      rabbitmq  {dots}{one[start:start + 600]}\n      {kind:8}  {dots}{other[start:start + 600]}"


def steady(broker: Broker, names: list[str]) -> tuple[dict, list[str]]:
    """Observations that came twice, and which cases never gave the same twice in a row."""
    first, unsteady = run(broker, names), []
    second = run(broker, names)
    for name in names:
        for _ in range(4):
            if not differences(first[name], second[name]):
                break
            print(f"  not the same twice: {name}: {', '.join(differences(first[name], second[name]))}")
            first[name], second[name] = second[name], observe(broker, CASES[name])
        else:
            unsteady.append(name)
    return first, unsteady


def compare(broker: Broker, names: list[str], expected: dict, intended: list[dict], pending: dict, brief: bool) -> bool:
    """Runs and compares; true if nothing differs that should not. `brief`: of what is pending, names only."""
    found = run(broker, names)
    wrong, late, steadied, used = [], [], [], set()
    for name in names:
        differing = differences(expected.get(name, []), found[name])
        for _ in range(2):
            if name in pending or not unintended(name, differing, intended, set()):
                break
            # On a busy machine something may come late: once more, alone.
            found[name] = observe(broker, CASES[name])
            differing = differences(expected.get(name, []), found[name])
            steadied.append(name)
        left = unintended(name, differing, intended, used)
        if not left:
            continue
        (late if name in pending else wrong).append(name)
        print(f"pending ({pending[name]})  {name}" if name in pending else f"DIFFERS  {name}")
        if name in pending and brief:
            continue
        for label in ["broken"] if "broken" in left else left:
            print(f"    {label}")
            print(shown(label, expected.get(name, []), found[name], broker.kind))
    stale = [f"{entry['case']}: {entry['observation']}" for at, entry in enumerate(intended)
             if at not in used and any(fnmatch.fnmatchcase(name, entry["case"]) for name in names)]
    for entry in stale:
        print(f"NO LONGER DIFFERS, but is listed in intended.toml: {entry}")
    done = [name for name in names if name in pending and name not in late]
    if done:
        print(f"no longer pending: {', '.join(done)}")
    again = sorted(set(steadied) - set(wrong) - set(late))
    if again:
        print(f"only the same when run again: {', '.join(again)}")
    same = len(names) - len(wrong) - len(late)
    print(f"{len(names)} cases: {same} the same ({len(used)} intended differences), {len(wrong)} differ, {len(late)} pending")
    return not wrong and not stale


def unintended(name: str, differing: list[str], intended: list[dict], used: set[int]) -> list[str]:
    """The differing observations that nobody wants so; notes which wishes were met."""
    left = []
    for label in differing:
        wish = next((at for at, entry in enumerate(intended) if fnmatch.fnmatchcase(name, entry["case"])
                     and fnmatch.fnmatchcase(label, entry["observation"])), None)
        if wish is None:
            left.append(label)
        else:
            used.add(wish)
    return left


def documented(intended: list[dict], pending: dict) -> str:
    """docs/compatibility.md with the lists as they are."""
    rows = ["| where | what Warren does | why |", "| --- | --- | --- |"]
    rows += [f"| `{one['case']}` {'' if one['observation'] == '*' else one['observation'].rstrip('*')} "
             f"| {one['instead']} | {one['why']} |" for one in intended]
    late = [f"- `{theme}`: {', '.join(name.split('/')[1] for name in names)}" for theme, names in itertools.groupby(
        sorted(name for listed in pending.values() for name in listed), lambda name: name.split("/")[0])]
    text = DOCUMENT.read_text()
    for mark, lines in (("intended", rows), ("pending", late or ["None."])):
        before, rest = text.split(f"<!-- {mark}:", 1)
        head, rest = rest.split("\n", 1)
        text = f"{before}<!-- {mark}:{head}\n" + "\n".join(lines) + "\n<!-- end -->" + rest.split("<!-- end -->", 1)[1]
    return text


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--broker", choices=["rabbitmq", "warren"])
    parser.add_argument("--address", action="append", default=[], help="HOST:PORT of each node")
    parser.add_argument("--command", help="the operator's program")
    parser.add_argument("--data", type=pathlib.Path, help="the folder of the nodes, of Warren")
    parser.add_argument("--document", action="store_true", help="write the lists into docs/compatibility.md, no more")
    parser.add_argument("--record", type=pathlib.Path, help="write the observations there")
    parser.add_argument("--compare", type=pathlib.Path, help="compare them with those")
    parser.add_argument("--show", action="store_true", help="print the observations")
    parser.add_argument("cases", nargs="*", default=["*"], help="patterns: theme/case")
    options = parser.parse_args()

    intended = tomllib.loads((HERE / "intended.toml").read_text()).get("difference", [])
    pending = tomllib.loads((HERE / "pending.toml").read_text())
    if options.document:
        DOCUMENT.write_text(documented(intended, pending))
        return 0

    load()
    names = [name for name in CASES if any(fnmatch.fnmatchcase(name, pattern) for pattern in options.cases)]
    addresses = [(host, int(port)) for host, port in (one.rsplit(":", 1) for one in options.address)]
    broker = Broker(options.broker, addresses, options.command, options.data)
    started, well = time.monotonic(), True
    if options.show:
        for name, seen in run(broker, names).items():
            print(name)
            for label, value in seen:
                print(f"    {label}: {json.dumps(value, ensure_ascii=False)}")
    if options.record:
        names = [name for name in names if CASES[name].expected is None]
        seen, unsteady = steady(broker, names)
        broken = [name for name in names if any(label == "broken" for label, _ in seen[name])]
        for name in broken:
            print(f"broken: {name}: {seen[name][-1][1]}")
        peer = client.Connection(addresses[0])
        peer.open()
        version = peer.start.server_properties["version"].value
        peer.close()
        recorded = json.loads(options.record.read_text())["cases"] if options.record.exists() else {}
        recorded = {name: recorded[name] for name in recorded if name in CASES} | seen
        ordered = {name: recorded[name] for name in CASES if name in recorded}
        lines = ",\n".join(
            f" {json.dumps(name)}: [\n" + ",\n".join(f"  {json.dumps(one, ensure_ascii=False)}" for one in seen) + "]"
            for name, seen in ordered.items())
        options.record.write_text(f'{{"{broker.kind}": "{version}", "cases": {{\n{lines}\n}}}}\n')
        print(f"{len(names)} cases recorded of {broker.kind} {version} in {time.monotonic() - started:.0f} s")
        well = not unsteady and not broken
    if options.compare:
        recorded = json.loads(options.compare.read_text())
        owners = {name: owner for owner, listed in pending.items() for name in listed}
        recorded["cases"] |= {name: list(CASES[name].expected.items()) for name in names if CASES[name].expected is not None}
        missing = [name for name in names if name not in recorded["cases"]]
        if missing:
            print(f"not recorded: {', '.join(missing)} (make conformance records)")
            names = [name for name in names if name not in missing]
        well = compare(broker, names, recorded["cases"], intended, owners, options.cases == ["*"]) and not missing
        if DOCUMENT.read_text() != documented(intended, pending):
            print("docs/compatibility.md is not up to date: tests/conformance/run.py --document")
            well = False
        print(f"compared with RabbitMQ {recorded['rabbitmq']} in {time.monotonic() - started:.0f} s")
    return 0 if well else 1


if __name__ == "__main__":
    sys.exit(main())
