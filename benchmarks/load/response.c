#define _GNU_SOURCE
#include "response.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#define MAX_HEAD 16384

// Each of these consumes as many bytes as it can and returns the position after them.

static int is_token(const struct response *r)
{
    if (r->line_length && r->line[0] == '{') return 1;
    if (r->line_length < 5 || memcmp(r->line, "data:", 5)) return 0;
    return r->line_length < LINE_START || memcmp(r->line, "data: [DONE]", LINE_START);
}

static long count_tokens(struct response *r, const char *at, const char *end)
{
    long tokens = 0;
    while (at < end) {
        const char *newline = memchr(at, '\n', (size_t)(end - at));
        const char *stop = newline ? newline : end;
        while (at < stop && r->line_length < LINE_START) r->line[r->line_length++] = *at++;
        if (!newline) break;
        tokens += is_token(r);
        r->line_length = 0;
        at = newline + 1;
    }
    return tokens;
}

static const char *take_chunk_size(struct response *r, const char *at, const char *end)
{
    while (at < end && *at != '\n') {
        char c = *at++;
        if (c == ';') r->in_extension = 1; // an extension follows
        if (r->in_extension || !isxdigit((unsigned char)c)) continue;
        r->chunk_left = r->chunk_left * 16 + (size_t)(isdigit((unsigned char)c) ? c - '0' : (c | 32) - 'a' + 10);
        r->size_digits++;
    }
    if (at == end) return at;
    if (r->size_digits) r->part = r->chunk_left ? CHUNK_DATA : AFTER_END; // else: the newline after a chunk
    r->size_digits = r->in_extension = 0;
    return at + 1;
}

static const char *take_chunk_data(struct response *r, const char *at, const char *end, long *tokens)
{
    size_t length = (size_t)(end - at) < r->chunk_left ? (size_t)(end - at) : r->chunk_left;
    *tokens += count_tokens(r, at, at + length);
    r->chunk_left -= length;
    if (!r->chunk_left) r->part = CHUNK_SIZE;
    return at + length;
}

void response_free(struct response *r)
{
    free(r->head);
    r->head = NULL;
}

static const char *take_head(struct response *r, const char *at, const char *end)
{
    size_t before = r->head_length, taken = (size_t)(end - at);
    if (taken > MAX_HEAD - before) taken = MAX_HEAD - before;
    if (!r->head && !(r->head = malloc(MAX_HEAD + 1))) abort();
    memcpy(r->head + before, at, taken);
    r->head_length += taken;
    r->head[r->head_length] = 0;
    char *blank = strstr(r->head, "\r\n\r\n");
    if (!blank && r->head_length < MAX_HEAD) return at + taken;
    if (!blank || strncmp(r->head + strcspn(r->head, " "), " 200 ", 5)) {
        r->part = REFUSED;
        return end;
    }
    blank[2] = 0;
    r->part = strcasestr(r->head, "\r\ntransfer-encoding: chunked\r\n") ? CHUNK_SIZE : UNCHUNKED;
    at += (size_t)(blank + 4 - r->head) - before;
    response_free(r);
    return at;
}

long response_take(struct response *r, const char *at, const char *end)
{
    long tokens = 0;
    while (at < end) {
        switch (r->part) {
        case HEAD: at = take_head(r, at, end); break;
        case CHUNK_SIZE: at = take_chunk_size(r, at, end); break;
        case CHUNK_DATA: at = take_chunk_data(r, at, end, &tokens); break;
        case UNCHUNKED: tokens += count_tokens(r, at, end); return tokens;
        case AFTER_END:
        case REFUSED: return tokens;
        }
    }
    return tokens;
}
