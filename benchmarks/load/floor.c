// floor has the minimum cost of a token: one thread, no parsing, no objects, one send() of a prepared frame.
// The cost of another server divided by this is its distance from the minimum.
//
//   floor PORT GAP_MS            responds to any request with an endless SSE stream, a word every GAP_MS
//   floor PORT GAP_MS --openai   responds to any POST as an OpenAI-compatible upstream with an endless response
//
// The first token follows the response head at once, so that a relay's own delay can be measured.
// Listens on 127.0.0.1 only. Build: cc -O2 -o floor floor.c
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/queue.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define MAX_FDS 65536
#define MAX_GAP_MS 10000
#define BATCH 256

static const char STREAM_HEAD[] =
    "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nCache-Control: no-cache\r\nTransfer-Encoding: chunked\r\n\r\n";
static const char NOT_FOUND[] = "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n";
static const char WORD[] = "data: floor\n\n";
static const char CHUNK[] =
    "data: {\"id\":\"chatcmpl-floor00000000000000000001\",\"object\":\"chat.completion.chunk\",\"created\":1750000000,"
    "\"model\":\"llama-3.3-70b-versatile\",\"system_fingerprint\":\"fp_floor00001\",\"choices\":[{\"index\":0,"
    "\"delta\":{\"content\":\" word#####\"},\"logprobs\":null,\"finish_reason\":null}]}\n\n";

struct stream {
    LIST_ENTRY(stream) among; // the streams of its millisecond
    int started;
};
LIST_HEAD(streams, stream);

static struct stream stream_of[MAX_FDS]; // by descriptor
static struct streams due_in[MAX_GAP_MS]; // a wheel: one turn is one gap, one slot a millisecond
static char frame[1024];
static size_t frame_length;
static char *serial; // five changing digits in the frame, because no model repeats one word endlessly
static int openai, gap_ms;

static long now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static void make_frame(void)
{
    const char *event = openai ? CHUNK : WORD;
    frame_length = (size_t)snprintf(frame, sizeof frame, "%zx\r\n%s\r\n", strlen(event), event);
    serial = strstr(frame, "#####");
}

static void number_frame(long turn)
{
    if (!serial) return;
    for (int digit = 4; digit >= 0; digit--, turn /= 10) serial[digit] = (char)('0' + turn % 10);
}

// A slow reader loses this token; a partial or failed write stops the stream.
static int send_frame(int fd)
{
    ssize_t sent = send(fd, frame, frame_length, MSG_NOSIGNAL | MSG_DONTWAIT);
    return sent == (ssize_t)frame_length || (sent < 0 && (errno == EAGAIN || errno == EINTR));
}

static void stop(struct stream *s)
{
    if (s->started) LIST_REMOVE(s, among);
    s->started = 0;
}

static void send_slot(struct streams *slot)
{
    for (struct stream *s = LIST_FIRST(slot), *next; s; s = next) {
        next = LIST_NEXT(s, among);
        if (!send_frame((int)(s - stream_of))) stop(s);
    }
}

static void start(int fd, long tick)
{
    send(fd, STREAM_HEAD, sizeof STREAM_HEAD - 1, MSG_NOSIGNAL | MSG_MORE);
    if (!send_frame(fd)) return;
    stream_of[fd].started = 1;
    LIST_INSERT_HEAD(&due_in[tick % gap_ms], &stream_of[fd], among);
}

static void serve(int fd, long tick)
{
    static char request[65536];
    ssize_t length = read(fd, request, sizeof request);
    if (length <= 0) {
        stop(&stream_of[fd]);
        close(fd);
    } else if (openai && !stream_of[fd].started && strncmp(request, "POST ", 5)) {
        send(fd, NOT_FOUND, sizeof NOT_FOUND - 1, MSG_NOSIGNAL);
    } else if (!stream_of[fd].started) {
        start(fd, tick);
    }
}

static void accept_all(int listener, int epoll)
{
    for (int fd; (fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0;) {
        struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};
        if (fd >= MAX_FDS || epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event)) close(fd);
    }
}

static int listen_on(int port)
{
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), on = 1;
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons((unsigned short)port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    setsockopt(listener, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on); // accepted sockets inherit this
    if (bind(listener, (struct sockaddr *)&at, sizeof at) || listen(listener, 4096)) {
        perror("floor");
        exit(1);
    }
    return listener;
}

static void run(int listener)
{
    int epoll = epoll_create1(EPOLL_CLOEXEC);
    struct epoll_event event = {.events = EPOLLIN, .data.fd = listener}, ready[BATCH];
    epoll_ctl(epoll, EPOLL_CTL_ADD, listener, &event);
    long begin = now_ms(), tick = 0; // `tick`: the last millisecond whose streams were served
    for (;;) {
        int count = epoll_wait(epoll, ready, BATCH, 1);
        for (int i = 0; i < count; i++) {
            if (ready[i].data.fd == listener) accept_all(listener, epoll);
            else serve(ready[i].data.fd, tick);
        }
        for (long due = now_ms() - begin; tick < due;) {
            tick++;
            number_frame(tick / gap_ms);
            send_slot(&due_in[tick % gap_ms]);
        }
    }
}

int main(int argc, char **argv)
{
    openai = argc == 4 && !strcmp(argv[3], "--openai");
    int port = argc > 2 ? atoi(argv[1]) : 0;
    gap_ms = argc > 2 ? atoi(argv[2]) : 0;
    if (port < 1 || port > 65535 || gap_ms < 1 || gap_ms > MAX_GAP_MS || argc > 3 + openai) {
        fprintf(stderr, "floor PORT GAP_MS [--openai], with GAP_MS from 1 to %d\n", MAX_GAP_MS);
        return 2;
    }
    struct rlimit files;
    if (!getrlimit(RLIMIT_NOFILE, &files)) {
        files.rlim_cur = files.rlim_max;
        setrlimit(RLIMIT_NOFILE, &files);
    }
    make_frame();
    number_frame(0);
    run(listen_on(port));
}
