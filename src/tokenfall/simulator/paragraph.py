"""The simulator's filler text, split into words. Pure."""

PARAGRAPH = (
    "Large language models do not hand over an answer; they let it fall, one token after another, and whoever builds "
    "on them has to catch it. A page must paint words while they arrive. A gateway must pass each of them on at once, "
    "hold nothing back, and notice when the reader has gone. A test must be able to ask for the same stream twice. "
    "This paragraph is such a stream: its words were cut and framed before the first visitor came, so that each of "
    "them costs one write and nothing else. Watch how evenly they come, break the connection in the middle, open a "
    "thousand of them, and see what your own side of the wire makes of it."
)

WORDS = tuple(PARAGRAPH.split())
