"""`inhouse guard`: checks texts by a policy, sets its thresholds, measures it on labelled data."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from inhouse.cli.output import note, print_json, print_table
from inhouse.core.errors import UsageError
from inhouse.engines.base import Message
from inhouse.gateway.guard.evaluation import Calibration, Quality, Share, calibrate, evaluate, read_labelled, read_texts
from inhouse.gateway.guard.guard import Guard
from inhouse.gateway.guard.injection import InjectionDetector, Source
from inhouse.gateway.guard.policy import Policy, default_policy_text, load_policy
from inhouse.gateway.guard.verdict import Action, Verdict

app = typer.Typer(
    rich_markup_mode=None,
    add_completion=False,
    no_args_is_help=True,
    help="""Check texts for personal data, secrets and injected instructions, as the gateway does.

    \b
    inhouse guard policy > guard.toml      the policy, to be changed
    inhouse guard check letter.txt         what would be done about a text
    inhouse guard calibrate logs.jsonl     thresholds for your own traffic
    """,
)

PolicyFile = Annotated[Path | None, typer.Option("--policy", help="A policy file; default: the shipped one.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


class ReadAs(StrEnum):
    """What a text is taken for."""

    USER = "user"
    DOCUMENT = "document"


@app.command()
def check(
    file: Annotated[Path, typer.Argument(help="A text file, or - for stdin.")] = Path("-"),
    policy: PolicyFile = None,
    read_as: Annotated[
        ReadAs, typer.Option("--as", help="user: someone's own words; document: what a tool or a file brought.")
    ] = ReadAs.USER,
    masked: Annotated[bool, typer.Option("--masked", help="Print the text as it would be sent on.")] = False,
    json: AsJson = False,
) -> None:
    """Say what the guard finds in a text and what it would do; exit status 1 where it would block.

    \b
    inhouse guard check letter.txt
    echo "제 번호는 010-1234-5678입니다" | inhouse guard check --masked
    inhouse guard check page.html --as document --json
    """
    text = _read(file)
    guard = Guard(load_policy(policy))
    verdict = guard.check_input((Message("user" if read_as is ReadAs.USER else "tool", text),), "")
    if json:
        print_json(
            {
                "action": verdict.action,
                "would": verdict.would,
                "findings": verdict.findings,
                "text": verdict.messages[0].content if masked else None,
            }
        )
    elif masked:
        sys.stdout.write(verdict.messages[0].content)
    else:
        _print_verdict(verdict, text)
    if verdict.blocked:
        raise typer.Exit(1)


@app.command("calibrate")
def calibrate_command(
    benign: Annotated[
        list[Path], typer.Argument(metavar="BENIGN…", help="Harmless texts of your own: .jsonl or text.")
    ],
    policy: PolicyFile = None,
    target_fpr: Annotated[float, typer.Option(min=0.0, max=0.5, help="Share of them that may be blocked.")] = 0.02,
    read_as: Annotated[ReadAs | None, typer.Option("--as", help="Only for texts of this sort.")] = None,
    json: AsJson = False,
) -> None:
    """Find the thresholds at which so many of your own harmless texts are blocked, and print them for the policy.

    \b
    inhouse guard calibrate january.jsonl february.jsonl --target-fpr 0.01
    inhouse guard calibrate handbook/*.md --as document
    """
    texts = [text for path in benign for text in read_texts(path)]
    if not texts:
        raise UsageError("There are no texts to calibrate on")
    detector = InjectionDetector.shipped()
    thresholds = _thresholds(load_policy(policy), detector)
    sources: tuple[Source, ...] = ("user", "document") if read_as is None else (read_as.value,)
    found = [calibrate(texts, source, detector, thresholds[source], target_fpr) for source in sources]
    if json:
        print_json(found)
        return
    sys.stdout.write("[injection]\n" + "".join(f"{one.source}_threshold = {one.threshold}\n" for one in found))
    for one in found:
        note(_remark(one))


@app.command("eval")
def evaluate_command(
    data: Annotated[Path, typer.Argument(metavar="DATA.jsonl", help="Rows of text, label, as, spans.")],
    policy: PolicyFile = None,
    json: AsJson = False,
) -> None:
    """Measure the guard on labelled texts: injections caught, false alarms, personal data found.

    \b
    {"text": "…", "label": 1, "as": "document"}      1: an injection, 0: harmless
    {"text": "…", "spans": [{"kind": "phone", "start": 7, "end": 20}]}
    """
    detector = InjectionDetector.shipped()
    quality = evaluate(read_labelled(data), detector, _thresholds(load_policy(policy), detector))
    if json:
        print_json(_plain(quality))
        return
    rows = [("injections caught", quality.caught), ("harmless texts blocked", quality.false_alarms)]
    rows += [
        ("personal data found", quality.recall_all),
        *((f"  {kind}", share) for kind, share in quality.recall.items()),
    ]
    rows += [("clean texts flagged", quality.clean_flagged)]
    print_table(
        ["figure", "share", "95 % interval", "of"],
        [(name, _percent(share.value), _interval(share), share.of) for name, share in rows if share.of],
    )


@app.command("policy")
def show_policy() -> None:
    """Print the shipped policy file, with its comments."""
    sys.stdout.write(default_policy_text())


def _read(file: Path) -> str:
    if str(file) != "-":
        try:
            return file.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise UsageError(f"{file} cannot be read", why=getattr(error, "strerror", None) or str(error)) from None
    try:
        return sys.stdin.buffer.read().decode()
    except UnicodeDecodeError:
        raise UsageError("What came on stdin is no text in UTF-8") from None


def _thresholds(policy: Policy, detector: InjectionDetector) -> Mapping[Source, float]:
    return {
        "user": policy.user_threshold or detector.user_threshold,
        "document": policy.document_threshold or detector.document_threshold,
    }


def _print_verdict(verdict: Verdict, text: str) -> None:
    if verdict.findings:
        print_table(
            ["kind", "action", "line", "text", "why", "score"],
            [
                (
                    finding.kind,
                    finding.action.value,
                    text.count("\n", 0, finding.start) + 1,
                    _excerpt(text[finding.start : finding.end]),
                    finding.rule,
                    f"{finding.score:.2f}",
                )
                for finding in verdict.findings
            ],
        )
    dry = f" (a dry run; it would be: {verdict.would.value})" if verdict.would is not verdict.action else ""
    note(f"{_SAYS[verdict.action]}{dry}")


_SAYS = {
    Action.ALLOW: "Allowed: nothing was found",
    Action.LOG: "Allowed, and logged",
    Action.MASK: "Allowed, masked",
    Action.BLOCK: "Blocked",
}


def _excerpt(text: str) -> str:
    flat = " ".join(text.split())
    return flat if len(flat) <= 60 else flat[:59] + "…"


def _remark(one: Calibration) -> str:
    before, now = _percent(one.flagged_before.value), _percent(one.flagged.value)
    few = f"; {one.texts} texts are few for this: use some hundreds" if one.few else ""
    return f"{one.source}: {before} of {one.texts} texts were blocked before, {now} now{few}"


def _percent(value: float | None) -> str | None:
    return None if value is None else f"{value:.1%}"


def _interval(share: Share) -> str | None:
    return None if share.interval is None else f"{share.interval[0]:.1%} … {share.interval[1]:.1%}"


def _plain(quality: Quality) -> dict[str, object]:
    def plain(share: Share) -> dict[str, object]:
        return {"share": share.value, "interval": share.interval, "hits": share.hits, "of": share.of}

    return {
        "caught": plain(quality.caught),
        "false_alarms": plain(quality.false_alarms),
        "recall_all": plain(quality.recall_all),
        "recall": {kind: plain(share) for kind, share in quality.recall.items()},
        "clean_flagged": plain(quality.clean_flagged),
    }
