"""Sizes, rates and bit rates of picture and sound, as settings say them."""

from typing import Annotated, Final

from msgspec import Meta

_PIXELS: Final = r"[1-9][0-9]{0,2}[02468]"

Size = Annotated[
    str,
    Meta(
        pattern=f"^{_PIXELS}x{_PIXELS}$",
        title="a size in even numbers such as 1280x720",
        description="width x height",
        extra_json_schema={"unit": "px"},
    ),
]


def rate(text: str) -> None:
    """Check that a fraction is a rate: 1 to 120 pictures a second.

    Raises:
        ValueError: it is not.
    """
    over, under = fraction(text)
    if not under <= over <= 120 * under:
        raise ValueError(f'expected a rate from 1 to 120 such as "30000/1001", got "{text}"')


Rate = (
    Annotated[
        int, Meta(ge=1, le=120, description="frames a second", extra_json_schema={"unit": "Hz"})
    ]
    | Annotated[
        str,
        Meta(
            pattern=r"^[1-9][0-9]{0,5}/[1-9][0-9]{0,3}$",
            title='a fraction such as "30000/1001"',
            description="frames a second",
            extra_json_schema={"unit": "Hz"},
        ),
        rate,
    ]
)


def fraction(rate: int | str) -> tuple[int, int]:
    """A rate as a fraction in frames a second.

    >>> fraction("30000/1001"), fraction(25)
    ((30000, 1001), (25, 1))
    """
    over, _, under = str(rate).partition("/")
    return int(over), int(under or 1)


VideoBitrate = Annotated[
    int,
    Meta(
        ge=50_000,
        le=200_000_000,
        description="of the picture, where it is encoded",
        extra_json_schema={"unit": "bit/s"},
    ),
]
AudioBitrate = Annotated[
    int,
    Meta(
        ge=16_000,
        le=512_000,
        description="of the sound, where it is encoded",
        extra_json_schema={"unit": "bit/s"},
    ),
]
