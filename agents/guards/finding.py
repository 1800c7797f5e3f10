"""What guards look for, by name: patterns, and a check where a pattern alone finds too much."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass


def _any(_: str) -> bool:
    return True


@dataclass(frozen=True, slots=True)
class Kind:
    """`name` stands in the place of what is masked. `holds`: whether what looks like it is it."""

    name: str
    look: re.Pattern[str]
    holds: Callable[[str], bool] = _any

    def find(self, text: str) -> list[str]:
        """Each once, in the order of the text."""
        return list(dict.fromkeys(found[0] for found in self.look.finditer(text) if self.holds(found[0])))


def _is_card(found: str) -> bool:
    """The check digit that card numbers carry (Luhn)."""
    digits = [int(char) for char in found if char.isdigit()]
    doubled = [sum(divmod(2 * digit, 10)) for digit in digits[-2::-2]]
    return (sum(digits[-1::-2]) + sum(doubled)) % 10 == 0


def _is_iban(found: str) -> bool:
    """Its check digits: rearranged and read as one number, it leaves 1 when divided by 97 (ISO 13616)."""
    bare = found.replace(" ", "")
    return int("".join(str(int(char, 36)) for char in bare[4:] + bare[:4])) % 97 == 1


EMAIL = Kind("EMAIL", re.compile(r"(?<![\w.+-])[\w.+-]{1,64}@(?:[A-Za-z0-9-]{1,63}\.){1,8}[A-Za-z]{2,24}\b"))
CARD = Kind("CARD", re.compile(r"(?<!\d)\d(?:[ -]?\d){12,18}(?!\d)"), _is_card)
IBAN = Kind("IBAN", re.compile(r"\b[A-Z]{2}\d{2}(?: ?[A-Z0-9]{4}){2,7}(?: ?[A-Z0-9]{1,3})?\b"), _is_iban)
PHONE = Kind("PHONE", re.compile(r"(?<![\w+])\+[1-9]\d{0,2}[ -]?(?:\(\d{1,4}\)[ -]?)?\d(?:[ -]?\d){5,11}(?!\d)"))
# Each begins where no character of its own kind stands before it: else a text of many beginnings is read again from each.
SECRET = Kind(
    "SECRET",
    re.compile(
        r"(?<![A-Za-z0-9_-])(?:sk-[A-Za-z0-9_-]{16,200}|(?:AKIA|ASIA)[A-Z0-9]{16}|gh[pousr]_[A-Za-z0-9]{30,100}|xox[abprs]-[A-Za-z0-9-]{10,100}"
        r"|AIza[A-Za-z0-9_-]{35}|hf_[A-Za-z0-9]{30,60}|eyJ[A-Za-z0-9_-]{10,2000}\.eyJ[A-Za-z0-9_-]{10,4000}\.[A-Za-z0-9_-]{10,1000})"
        r"|-----BEGIN [A-Z ]{0,30}PRIVATE KEY-----[A-Za-z0-9+/=\s]{16,8000}-----END [A-Z ]{0,30}PRIVATE KEY-----"
    ),
)

KINDS: Mapping[str, tuple[Kind, ...]] = {
    "email": (EMAIL,),
    "card": (CARD,),
    "iban": (IBAN,),
    "phone": (PHONE,),
    "pii": (EMAIL, IBAN, CARD, PHONE),
    "secrets": (SECRET,),
}
"""What a rule may name."""
