// response reads one streamed HTTP/1.1 response as it comes, in pieces of any size, and counts its tokens.
//
// A token is a line of the body that begins with "data:" (SSE; the closing [DONE] is none) or with "{"
// (NDJSON), counted when its newline arrives. The body is taken out of its chunks first, so neither a
// read nor a chunk that cuts a frame in two changes the count. This file knows no socket and no clock.
#ifndef RESPONSE_H
#define RESPONSE_H
#include <stddef.h>

#define LINE_START 12 // as much of a line as tells what it is: "data: [DONE]"

enum part { HEAD, CHUNK_SIZE, CHUNK_DATA, UNCHUNKED, AFTER_END, REFUSED };

struct response { // all zero at first
    enum part part; // what the next byte belongs to; REFUSED: it was no 200
    size_t chunk_left; // in CHUNK_SIZE: the size read so far
    int size_digits, in_extension;
    int line_length; // of `line`, at most LINE_START
    char line[LINE_START];
    char *head; // until it is whole
    size_t head_length;
};

// Takes the next bytes; how many tokens they completed. Bytes after a refusal or the end are passed over.
long response_take(struct response *r, const char *at, const char *end);

void response_free(struct response *r);

#endif
