"""HTTP/1.1 on a socket: connections, requests, answers, deadlines. It knows no LLM and no route.

An application (see `application.py`) turns each `Request` into one of three answers: a whole `Response`, a
`TimedStream` or a `LiveStream`. The edge plays it and tells the application how it ended.
"""
