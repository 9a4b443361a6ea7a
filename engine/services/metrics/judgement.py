"""What the figures mean: a level, a score and a sentence.

Everything is of the last minute; before its start an engine counts as idle. The module's thresholds stand, but a rate
of runs or a busy pool counts as far as the processor bears it out, so that scripts that use nothing are not HIGH:

    HIGH    the processor's use > 80 %, or (pool busy > 80 % or more than 50 runs) at a use > 20 %
    MEDIUM  the processor's use > 50 %, or (pool busy > 50 % or more than 20 runs) at a use > 5 %
    LOW     anything less
    UNKNOWN the processor's use cannot be read

Use is the share of all processors that the engine and every process below it had. What others use, the gateway's JVM
among them, changes neither level nor score: the recommendation names it. The score is 100, less 30 for a
pool busy > 85 % (15 for > 60 %), less 20 for more than 50 runs (10 for more than 20) where their use bears that out as
above, less 20 for a rate of errors > 10 % (10 for > 5 %). Where the use cannot be read the score supposes the worst.
"""

from __future__ import annotations

from engine.models.metrics import ImpactLevel, Judgement, RunFigures

HIGH = (ImpactLevel.HIGH, 80.0, 50, 20.0)
MEDIUM = (ImpactLevel.MEDIUM, 50.0, 20, 5.0)
"""A level, the percent above which use or a busy pool is of it, the runs a minute, the use that bears these out."""

BUSY_GATEWAY = 50.0
"""Percent of the processors above which the gateway itself is said to be busy."""


def judge(
    minute: RunFigures,
    since_start: RunFigures,
    busy: float,
    use: float | None,
    gateway: float | None = None,
    rest_reason: str = "",
) -> Judgement:
    """Judge the figures by the rule above.

    Args:
        minute: Of the last minute.
        since_start: Of all runs.
        busy: Share of the last minute in which the slots had runs, in percent.
        use: Of the processors, in percent.
        gateway: What the gateway's JVM uses of the processors, in percent; None where there is none.
        rest_reason: Why slots rest; empty where none does.
    """
    errors = recent_error_rate(minute, since_start)
    level = impact_level(minute.dispatched, busy, use)
    return Judgement(
        impact=level,
        health=health_score(minute.dispatched, busy, use, errors),
        recommendation=recommendation(level, minute, use, errors, gateway, rest_reason),
    )


def error_rate(figures: RunFigures) -> float | None:
    """Return failures in percent of successes and failures; None where there was neither."""
    counted = figures.successful + figures.failed
    return 100 * figures.failed / counted if counted else None


def recent_error_rate(minute: RunFigures, since_start: RunFigures) -> float | None:
    """Return the rate of the last minute, or of all since the start when nothing ended in it.

    An engine whose runs all failed does not look sound because it idles.
    """
    rate = error_rate(minute)
    return error_rate(since_start) if rate is None else rate


def impact_level(runs: int, busy: float, use: float | None) -> ImpactLevel:
    """Return the level of ``runs`` in the last minute, a pool ``busy`` and a ``use`` in percent."""
    if use is None:
        return ImpactLevel.UNKNOWN
    for level, percent, many, borne_out in (HIGH, MEDIUM):
        if use > percent or ((busy > percent or runs > many) and use > borne_out):
            return level
    return ImpactLevel.LOW


def health_score(runs: int, busy: float, use: float | None, errors: float | None) -> int:
    """Return 0 to 100. ``errors``: the rate in percent, None where nothing has ended yet."""
    score = 100
    score -= 30 if busy > 85 else 15 if busy > 60 else 0
    for cost, (_, _, many, borne_out) in ((20, HIGH), (10, MEDIUM)):
        if runs > many and (use is None or use > borne_out):
            score -= cost
            break
    failing = 0.0 if errors is None else errors
    score -= 20 if failing > 10 else 10 if failing > 5 else 0
    return max(0, score)


def recommendation(
    level: ImpactLevel,
    minute: RunFigures,
    use: float | None,
    rate: float | None,
    gateway: float | None = None,
    rest_reason: str = "",
) -> str:
    """Say what to do about the figures, the weightiest first."""
    said = []
    if use is None:
        said.append("The processor's use cannot be read on this host, so the impact is not known.")
    elif level is not ImpactLevel.LOW:
        said.append(
            f"Scripts used {use:.0f} % of the processors in the last minute: "
            "run the heavy ones less often or outside of busy hours."
        )
    if gateway is not None and gateway > BUSY_GATEWAY:
        said.append(f"The gateway itself used {gateway:.0f} % of the processors: that is not of the scripts.")
    if rest_reason:
        said.append(f"Slots rest for now: {rest_reason.rstrip('.')}.")
    if minute.contended:
        runs = "1 run" if minute.contended == 1 else f"{minute.contended} runs"
        said.append(f"{runs} had to wait for a slot: enlarge the pool, or shorten the scripts.")
    if rate is not None and rate > 5:
        when = "of the last minute" if error_rate(minute) is not None else "since the engine's start"
        said.append(f"{rate:.0f} % of the runs {when} failed: gatewright stats --by error says how.")
    return " ".join(said) or "Nothing to do: scripts put little load on this host."
