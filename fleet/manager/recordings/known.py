"""What the manager knows of the index that one station keeps of its recordings. Pure."""

from attrs import define, field

from fleet.model import Segment


@define
class KnownIndex:
    """What is known of it, and when the station is asked again."""

    loaded: bool = False
    """Whether what the store knows of it is known here."""
    index: str | None = None
    numbers: set[int] = field(factory=set)
    reached: int = 0
    """All numbers up to this are known."""
    next: float = 0.0
    """When it is asked again."""
    copied: set[str] = field(factory=set)
    copies_next: float = 0.0
    """When it is asked again which are copied."""
    all_copies_next: float = 0.0
    """And when of all that it has."""
    uncopied: set[str] = field(factory=set)
    """Files that somebody wanted to know of, and no copy was verified yet."""
    unread: set[int] = field(factory=set)
    """Numbers of those that are not read back yet, as far as is known."""
    was_away: bool = True
    """Whether it may have told something that nobody heard."""

    @property
    def begin(self) -> int:
        """The number after which to ask: what was read back since is told once more."""
        return min((self.reached, *(number - 1 for number in self.unread)))

    def skip(self, index: str, after: int, until: int) -> None:
        """All that there is between two numbers is known: of the rest nobody knows any more."""
        if index == self.index and after <= self.reached < until:
            self.reached = until
            self.numbers = {one for one in self.numbers if one > until}
            self._go_on()

    def knows(self, one: Segment) -> bool:
        """Whether it is written down."""
        is_here = one.number <= self.reached or one.number in self.numbers
        return one.index == self.index and is_here

    def learn(self, index: str, number: int, *, is_read: bool) -> None:
        """A segment is known; `is_read`: no check of it is to come."""
        if index != self.index:
            self.index, self.numbers, self.unread, self.reached = index, set(), set(), 0
        (self.unread.discard if is_read else self.unread.add)(number)
        if number > self.reached:
            self.numbers.add(number)
            if number > self.reached + 1:
                self.next = 0.0  # there is a hole
        self._go_on()

    def _go_on(self) -> None:
        while self.reached + 1 in self.numbers:
            self.reached += 1
            self.numbers.discard(self.reached)
