"""HTTP/1.1 server on the reactor: connections, requests, responses, deadlines. It must not depend on LLMs or routes.

An application (see `application.py`) returns for each `Request` a complete `Response`, a `TimedStream` or a
`LiveStream`. The server sends it and reports to the application how it ended.
"""
