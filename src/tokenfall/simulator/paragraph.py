"""The simulator's filler text, split into words. Pure."""

PARAGRAPH = (
    "Large language models do not send a response in one piece: they produce it token by token, and a client can "
    "show each token as it arrives. A page appends the text while the stream is open. A gateway forwards every "
    "token at once, buffers nothing, and cancels the request when the client disconnects. A test needs the same "
    "stream every time, including its faults. This text is the sample response of a simulator: no model runs "
    "behind it, and its tokens are encoded before the first request arrives, so that each of them costs one "
    "write. Change the gaps between the tokens, close the connection in the middle of the response, or open a "
    "thousand streams at once, and measure how the other side behaves."
)

WORDS = tuple(PARAGRAPH.split())
