"""Who comes one after another: clusters of look-alikes in a row of people, and people without end."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count

from strongreid.synthetic.dice import Dice, Stream
from strongreid.synthetic.settings import WorldSettings
from strongreid.synthetic.wardrobe import Person, draw_look_alike, draw_person, dress_plainly

CROWD = 64
"""People of an endless row who can look alike; the next so many are drawn without knowing these."""


def draw_people(dice: Dice, number: int, look_alikes: float, cap: int, first: int = 0) -> Iterator[Person]:
    """`number` people; with probability `look_alikes` one copies an earlier original, never a copy.

    Copies of copies would grow clusters that nobody can tell apart. A cluster has at most `cap` people and takes
    the number of its original, counted from `first`. Remembers only originals that may still be copied.
    """
    originals: list[Person] = []
    sizes: list[int] = []
    for serial in range(first, first + number):
        if not originals or not dice.chance(look_alikes):
            person = draw_person(dice, serial)
            yield person
            if cap > 1:
                originals.append(person)
                sizes.append(1)
            continue
        place = dice.below(len(originals))
        original = originals[place]
        sizes[place] += 1
        if sizes[place] == cap:
            del originals[place], sizes[place]
        yield draw_look_alike(dice, original)


def draw_endlessly(settings: WorldSettings, start: int, step: int) -> Iterator[tuple[int, Person]]:
    """Numbers start, start + step, ... and their people: each follows from the seed and the number alone.

    People come in crowds of `CROWD`, each with dice of its own; look-alikes are found inside a crowd.
    """
    number = start
    for crowd in count((start - 1) // CROWD):
        first = crowd * CROWD + 1
        if number >= first + CROWD:
            continue
        dice = Dice(settings.seed, Stream.ENDLESS_PEOPLE, crowd)
        people = draw_people(dice, CROWD, settings.look_alikes, settings.cluster_cap, first)
        for serial, person in enumerate(people, start=first):
            if serial == number:
                yield number, dress_plainly(person, settings.clothing)
                number += step
