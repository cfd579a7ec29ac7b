// response parses one streamed HTTP/1.1 response incrementally, in pieces of any size, and counts its tokens.
//
// A token is a line of the body that begins with "data:" (SSE; [DONE] is not a token) or with "{"
// (NDJSON), counted when its newline arrives. The chunked coding is decoded first, so the count does not depend on
// how frames are split into reads and chunks. No sockets, no clock.
#ifndef RESPONSE_H
#define RESPONSE_H
#include <stddef.h>

#define LINE_START 12 // the bytes of a line that identify its kind: "data: [DONE]"

enum part { HEAD, CHUNK_SIZE, CHUNK_DATA, UNCHUNKED, AFTER_END, REFUSED };

struct response { // all zero at first
    enum part part; // the part of the next byte; REFUSED: the status was not 200
    size_t chunk_left; // in CHUNK_SIZE: the size read so far
    int size_digits, in_extension;
    int line_length; // of `line`, at most LINE_START
    char line[LINE_START];
    char *head; // until it is complete
    size_t head_length;
};

// Parses the next bytes; returns the number of tokens that they complete. Ignores bytes after a refusal or the end.
long response_take(struct response *r, const char *at, const char *end);

void response_free(struct response *r);

#endif
