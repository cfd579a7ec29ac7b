"""Responses of about 10,000 tokens, with the gap for streaming each: `LONG[name]` is (text, gap)."""

from itertools import count

TOKENS = 10_000

SECTION = """## Part {0}

Words **of weight** and *of none*, with `code{0}` and [a link](https://example.org/{0}) in between; then some more words
that go on for a while, as answers do, until the paragraph is long enough to break over several lines of the page.

- an item of {0}
  - within it **another** one
- and `one` more

| part | what it says | how much |
|------|--------------|---------:|
| {0} | some *words* in a cell | {0}0 |
| {0} | some **other** words | {0}1 |

```python
def part_{0}(words: list[str]) -> None:
    for word in words:  # of part {0}
        print(word)
```

> It is said that part {0} is like all the others.

1. first of {0}
2. second of {0}

"""


def document() -> str:
    """About 10,000 tokens of Markdown with every supported kind of block."""
    text = ""
    for part in count(1):
        text += SECTION.format(part)
        if len(text.split()) >= TOKENS:
            return f"{text}The end."
    raise AssertionError


LINE = "    call(of, this, and_that)  # and so on\n"
WORDS = "some words, **some of weight**, with `code` and "
LONG = {
    "document": (document(), "1ms"),
    "paragraph": (f"{WORDS * 560}\n\nThe end.", "500us"),
    "code": (f"```python\n{LINE * 720}```\n\nThe end.", "500us"),
}
