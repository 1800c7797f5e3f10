"""What chance alone may do to figures of a sample: intervals and tests by their usual names. Pure, with nothing but `math`.

Rates: Wilson's interval, Newcombe's for a difference, Fisher's exact test. Means: Student's interval, Welch's test. Quantiles:
the interval between two of the sample's own values (binomial, exact), which asks nothing of their distribution; samples against
each other: Mann and Whitney's test with ties. Several tests at once: Holm's correction.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import NormalDist, fmean, variance

CONFIDENCE = 0.95
_NORMAL = NormalDist()
_TINY = 1e-300
_STEPS = 300
_CLOSE = 1e-14
_TIE = 1e-9
"""Tables whose chances differ by less than this share are as likely as each other: their logarithms are rounded."""


@dataclass(frozen=True, slots=True)
class Between:
    """An estimate, and where the truth lies with the confidence asked for."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Against:
    """How much more the second sample has than the first, and how often chance alone would show at least that."""

    difference: float
    p: float
    low: float | None = None
    high: float | None = None


def wilson(hits: int, of: int, confidence: float = CONFIDENCE) -> Between:
    """Of a rate; of nothing it says nothing: from 0 to 1."""
    if of == 0:
        return Between(0.0, 0.0, 1.0)
    z = _z(confidence)
    rate, square = hits / of, z * z
    middle = (rate + square / (2 * of)) / (1 + square / of)
    half = z / (1 + square / of) * math.sqrt(rate * (1 - rate) / of + square / (4 * of * of))
    low = 0.0 if hits == 0 else max(0.0, middle - half)
    return Between(rate, low, 1.0 if hits == of else min(1.0, middle + half))


def rates(first: tuple[int, int], second: tuple[int, int], confidence: float = CONFIDENCE) -> Against:
    """Two rates, each as (hits, of); neither of nothing. Newcombe's interval (his method 10), Fisher's test."""
    one, two = wilson(*first, confidence), wilson(*second, confidence)
    difference = two.value - one.value
    low = difference - math.hypot(two.value - two.low, one.high - one.value)
    high = difference + math.hypot(two.high - two.value, one.value - one.low)
    return Against(difference, fisher(first, second), low, high)


def fisher(first: tuple[int, int], second: tuple[int, int]) -> float:
    """Two-sided: of all tables with these sums, the chance of those that are no likelier than this one."""
    (hits, of), (other, of_other) = first, second
    sum_hits, total = hits + other, of + of_other
    seen = _log_table(hits, of, of_other, sum_hits)
    every = (
        _log_table(each, of, of_other, sum_hits) for each in range(max(0, sum_hits - of_other), min(of, sum_hits) + 1)
    )
    whole = _log_choose(total, sum_hits)
    return min(1.0, math.fsum(math.exp(each - whole) for each in every if each <= seen + _TIE * max(1.0, abs(seen))))


def _log_table(hits: int, of: int, of_other: int, sum_hits: int) -> float:
    return _log_choose(of, hits) + _log_choose(of_other, sum_hits - hits)


def _log_choose(n: int, k: int) -> float:
    return math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)


def mean(values: Sequence[float], confidence: float = CONFIDENCE) -> Between | None:
    """Student's interval; None of fewer than two values, which show nothing of how much they vary."""
    if len(values) < 2:
        return None
    middle = fmean(values)
    half = student_at((1 + confidence) / 2, len(values) - 1) * math.sqrt(variance(values, middle) / len(values))
    return Between(middle, middle - half, middle + half)


def means(first: Sequence[float], second: Sequence[float], confidence: float = CONFIDENCE) -> Against | None:
    """Welch's test: the samples may vary differently. None where one of them has fewer than two values."""
    if min(len(first), len(second)) < 2:
        return None
    one, two = fmean(first), fmean(second)
    parts = [variance(values, middle) / len(values) for values, middle in ((first, one), (second, two))]
    error = math.sqrt(sum(parts))
    if error == 0:
        return Against(two - one, 1.0 if one == two else 0.0, two - one, two - one)
    freedom = sum(parts) ** 2 / sum(
        part**2 / (len(values) - 1) for part, values in zip(parts, (first, second), strict=True)
    )
    half = student_at((1 + confidence) / 2, freedom) * error
    p = 2 * (1 - student(abs(two - one) / error, freedom))
    return Against(two - one, min(1.0, p), two - one - half, two - one + half)


def quantile(values: Sequence[float], share: float, confidence: float = CONFIDENCE) -> Between | None:
    """The value below which that share lies; None of nothing. Where a sample is too small for the confidence (the 95th of a
    hundred takes 72 values for 95 %), the interval ends at its outermost value.
    """
    if not values:
        return None
    listed, tail = sorted(values), (1 - confidence) / 2
    count = len(listed)
    low = _first(lambda k: binomial(k, count, share) > tail, count)
    high = _first(lambda k: binomial(k, count, share) >= 1 - tail, count)
    at = min(count - 1, math.ceil(count * share) - 1 if share > 0 else 0)
    return Between(listed[max(0, at)], listed[max(0, min(low, count) - 1)], listed[min(high, count - 1)])


def _first(holds: Callable[[int], bool], most: int) -> int:
    """The smallest number for which it holds, where it goes on holding; `most` if none below."""
    below, above = -1, most
    while above - below > 1:
        middle = (below + above) // 2
        below, above = (below, middle) if holds(middle) else (middle, above)
    return above


def ranks(first: Sequence[float], second: Sequence[float]) -> float | None:
    """Mann and Whitney's test, two-sided, by the normal curve with the correction for ties and for steps; None where one sample
    is too small for that curve.
    """
    if min(len(first), len(second)) < 8:
        return None
    n1, n2 = len(first), len(second)
    every = sorted([(value, 0) for value in first] + [(value, 1) for value in second])
    sum_first, ties, at = 0.0, 0, 0
    while at < len(every):
        end = at
        while end < len(every) and every[end][0] == every[at][0]:
            end += 1
        sum_first += (at + 1 + end) / 2 * sum(1 for _, which in every[at:end] if which == 0)
        ties += (end - at) ** 3 - (end - at)
        at = end
    n = n1 + n2
    spread = math.sqrt(n1 * n2 / 12 * (n + 1 - ties / (n * (n - 1))))
    if spread == 0:
        return 1.0
    off = max(0.0, abs(sum_first - n1 * (n1 + 1) / 2 - n1 * n2 / 2) - 0.5)
    return min(1.0, 2 * (1 - _NORMAL.cdf(off / spread)))


def holm(chances: Sequence[float]) -> list[float]:
    """The same, raised so that of all that are told together a false one is as rare as of one told alone."""
    order = sorted(range(len(chances)), key=chances.__getitem__)
    found, least = [0.0] * len(chances), 0.0
    for place, at in enumerate(order):
        least = max(least, min(1.0, chances[at] * (len(chances) - place)))
        found[at] = least
    return found


def binomial(k: int, n: int, p: float) -> float:
    """The chance of at most `k` hits of `n`."""
    if k < 0:
        return 0.0
    return 1.0 if k >= n else beta(n - k, k + 1, 1 - p)


def student(t: float, freedom: float) -> float:
    """The share of Student's curve below `t`."""
    tail = beta(freedom / 2, 0.5, freedom / (freedom + t * t)) / 2
    return 1 - tail if t > 0 else tail


def student_at(share: float, freedom: float) -> float:
    """Where that share of Student's curve lies below."""
    low, high = -1.0, 1.0
    while student(high, freedom) < share:
        high *= 2
    while student(low, freedom) > share:
        low *= 2
    for _ in range(80):
        middle = (low + high) / 2
        low, high = (middle, high) if student(middle, freedom) < share else (low, middle)
    return (low + high) / 2


def beta(a: float, b: float, x: float) -> float:
    """The regularized incomplete beta function, by its continued fraction (Lentz's way)."""
    if x <= 0 or x >= 1:
        return 0.0 if x <= 0 else 1.0
    front = math.exp(math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + a * math.log(x) + b * math.log1p(-x))
    if x < (a + 1) / (a + b + 2):
        return front * _fraction(a, b, x) / a
    return 1 - front * _fraction(b, a, 1 - x) / b


def _fraction(a: float, b: float, x: float) -> float:
    c, d = 1.0, 1 / _off_zero(1 - (a + b) * x / (a + 1))
    found = d
    for m in range(1, _STEPS + math.isqrt(int(a + b))):
        for part in (
            m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m)),
            -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1)),
        ):
            c, d = _off_zero(1 + part / c), 1 / _off_zero(1 + part * d)
            found *= c * d
        if abs(c * d - 1) < _CLOSE:
            break
    return found


def _off_zero(value: float) -> float:
    return value if abs(value) > _TINY else _TINY


def _z(confidence: float) -> float:
    return _NORMAL.inv_cdf((1 + confidence) / 2)
