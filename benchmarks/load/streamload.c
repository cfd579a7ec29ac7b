// streamload opens streaming responses on this machine, reads them for a bounded time, and prints their cost
// for the server and the timing of their tokens.
//
//   streamload --port PORT [options]
//     --streams N       how many to open (100, at most 60000)
//     --seconds S       how long to measure (5); with the warm-up at most 300
//     --warmup S        how long to read before that (2)
//     --gap-ms MS       the gap that the server is configured with
//     --deadlines FILE  instead: the deadline of each token of a stream, in milliseconds, one per line
//     --open-within S   timeout for opening streams; those not open by then count as refused (300)
//     --every-ms MS     open one stream every MS milliseconds instead of all at once
//     --path PATH       path of the request (/stream-loop)
//     --body JSON       send a POST with this body instead of a GET
//     --header 'A: b'   an additional request header; may be repeated
//     --pid PID         a process of the server whose time and memory are measured; may be repeated
//
// It prints one JSON line. response.h defines a token.
//   refused   streams that could not connect, or whose status was not 200
//   closed    streams that the server ended
//   late_ms   a token's arrival minus its deadline, minus the smallest such difference of its stream; for --gap-ms
//             and --deadlines only
//   gap_cv    the coefficient of variation of the times between two tokens
//   first_ms  time from the request to its first token
// A token's arrival is the time at which the kernel received its segment, so delays of this program are not counted as
// lateness.
// It writes the lines "measuring" and "measured" to stderr at the start and the end of the measurement.
// It uses loopback addresses only, several of them, so that local ports do not run out.
//
// Build: cc -O2 -o streamload streamload.c response.c -lm
#define _GNU_SOURCE
#include "response.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <math.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define MAX_SECONDS 300
#define MAX_STREAMS 60000
#define MAX_PIDS 64
#define MAX_SAMPLES (16 * 1024 * 1024)
#define MAX_CLOCK_STEP_S 1e-4
#define SOURCES 16 // loopback addresses to connect from
#define BATCH 256

struct stream {
    int fd;
    double sent_at, last; // times of the request and of the last token
    long tokens;
    double origin; // arrival minus deadline of the first measured token
    float earliest_ms; // the minimum of all, relative to origin
    struct response response;
};

struct sample { float ms; int stream; };
struct samples { struct sample *all; long count, room; };
struct sums { double count, ms, squares; };

static struct {
    int port, streams, pid_count, pids[MAX_PIDS];
    double seconds, warmup, gap, every, open_within;
    double *deadlines;
    long deadline_count;
    const char *path, *body;
    char headers[4096];
} options = {.port = 0, .streams = 100, .open_within = MAX_SECONDS, .seconds = 5, .warmup = 2, .path = "/stream-loop", .headers = ""};

static struct {
    int epoll, open;
    long refused, closed, tokens, bytes;
    double measured_from; // 0 until the warm-up is over
    double clock_offset; // the kernel's timestamps minus `now`
    struct stream *streams;
    struct samples late, firsts;
    struct sums gaps;
} run;

static double seconds_of(const struct timespec *t)
{
    return (double)t->tv_sec + (double)t->tv_nsec * 1e-9;
}

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return seconds_of(&t);
}

// The kernel timestamps segments with the wall clock; all other times are monotonic.
static double clock_offset(void)
{
    struct timespec wall;
    clock_gettime(CLOCK_REALTIME, &wall);
    return seconds_of(&wall) - now();
}

static void give_up(const char *why)
{
    fprintf(stderr, "streamload: %s\n", why);
    exit(2);
}

static void *must(void *memory)
{
    if (!memory) give_up("out of memory");
    return memory;
}

// ---- the server's time and memory, from /proc

static double cpu_seconds_of(int pid)
{
    char path[64], text[2048];
    snprintf(path, sizeof path, "/proc/%d/stat", pid);
    FILE *file = fopen(path, "r");
    if (!file) return 0;
    size_t length = fread(text, 1, sizeof text - 1, file);
    fclose(file);
    text[length] = 0;
    char *field = strrchr(text, ')'); // the name before it may contain any character; state is field 3
    for (int number = 2; field && number < 14; number++) field = strchr(field + 1, ' ');
    unsigned long user = 0, system = 0;
    if (field) sscanf(field, "%lu %lu", &user, &system);
    return (double)(user + system) / (double)sysconf(_SC_CLK_TCK);
}

static double resident_kib_of(int pid)
{
    char path[64];
    long total, resident = 0;
    snprintf(path, sizeof path, "/proc/%d/status", pid);
    FILE *file = fopen(path, "r");
    if (!file) return 0;
    for (char line[256]; fgets(line, sizeof line, file);)
        if (sscanf(line, "VmRSS: %ld", &total) == 1) resident = total;
    fclose(file);
    return (double)resident;
}

static double over_pids(double (*reading)(int))
{
    double sum = 0;
    for (int i = 0; i < options.pid_count; i++) sum += reading(options.pids[i]);
    return sum;
}

// ---- samples

static void samples_init(struct samples *s, long room)
{
    s->all = must(malloc((size_t)room * sizeof *s->all)); // pages are taken only as they fill
    s->room = room;
}

static void samples_add(struct samples *s, double ms, const struct stream *of)
{
    if (s->count < s->room) s->all[s->count++] = (struct sample){(float)ms, (int)(of - run.streams)};
}

static int by_value(const void *a, const void *b)
{
    float x = ((const struct sample *)a)->ms, y = ((const struct sample *)b)->ms;
    return (x > y) - (x < y);
}

static void samples_print(const char *name, struct samples *s)
{
    if (!s->count) {
        printf(", \"%s\": null", name);
        return;
    }
    qsort(s->all, (size_t)s->count, sizeof *s->all, by_value);
    long last = s->count - 1;
    printf(", \"%s\": {\"p50\": %.3f, \"p99\": %.3f, \"max\": %.3f, \"samples\": %ld}", name,
           s->all[(long)((double)last * .5)].ms, s->all[(long)((double)last * .99)].ms, s->all[last].ms, s->count);
}

static void sums_add(struct sums *s, double ms)
{
    s->count++;
    s->ms += ms;
    s->squares += ms * ms;
}

static double coefficient_of_variation(const struct sums *s)
{
    if (s->count < 2 || s->ms <= 0) return 0;
    double mean = s->ms / s->count, variance = s->squares / s->count - mean * mean;
    return variance > 0 ? sqrt(variance) / mean : 0;
}

static void end_stream(struct stream *s, long *why)
{
    response_free(&s->response);
    close(s->fd);
    s->fd = -1;
    run.open--;
    ++*why;
}

// ---- reading all streams

static double deadline_of(long token)
{
    if (!options.deadlines) return options.gap * (double)token;
    if (token >= options.deadline_count) give_up("a stream has more tokens than --deadlines says");
    return options.deadlines[token];
}

static void note_lateness(struct stream *s, double t, int is_first)
{
    double offset = t - deadline_of(s->tokens);
    if (is_first) s->origin = offset;
    float ms = (float)((offset - s->origin) * 1e3);
    if (is_first || ms < s->earliest_ms) s->earliest_ms = ms;
    samples_add(&run.late, ms, s);
}

// Tokens that arrived in one segment, at time `t`.
static void note_tokens(struct stream *s, long tokens, double t)
{
    if (!s->last) samples_add(&run.firsts, (t - s->sent_at) * 1e3, s);
    int in_measure = run.measured_from > 0, is_first = s->last < run.measured_from;
    if (in_measure) run.tokens += tokens;
    for (; tokens--; s->tokens++, s->last = t) {
        if (!in_measure) continue;
        if (options.gap || options.deadlines) note_lateness(s, t, is_first);
        if (!is_first) sums_add(&run.gaps, (t - s->last) * 1e3);
        is_first = 0;
    }
}

static void lateness_over_earliest(void)
{
    for (struct sample *s = run.late.all; s < run.late.all + run.late.count; s++) s->ms -= run.streams[s->stream].earliest_ms;
}

// The received bytes, and the arrival time of the last.
static ssize_t receive(int fd, void *buffer, size_t room, double *when)
{
    union { char space[CMSG_SPACE(sizeof(struct timespec))]; struct cmsghdr align; } control;
    struct iovec into = {.iov_base = buffer, .iov_len = room};
    struct msghdr message = {.msg_iov = &into, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control};
    ssize_t length = recvmsg(fd, &message, 0);
    struct cmsghdr *stamp = length > 0 ? CMSG_FIRSTHDR(&message) : NULL;
    if (stamp && stamp->cmsg_level == SOL_SOCKET && stamp->cmsg_type == SCM_TIMESTAMPNS) {
        struct timespec at;
        memcpy(&at, CMSG_DATA(stamp), sizeof at);
        *when = seconds_of(&at) - run.clock_offset;
    }
    return length;
}

static void read_stream(struct stream *s, double t)
{
    static char buffer[1 << 18];
    ssize_t length = receive(s->fd, buffer, sizeof buffer, &t);
    if (length < 0 && (errno == EAGAIN || errno == EINTR)) return;
    if (length <= 0) {
        end_stream(s, &run.closed);
        return;
    }
    if (run.measured_from) run.bytes += length;
    long tokens = response_take(&s->response, buffer, buffer + length);
    if (tokens) note_tokens(s, tokens, t);
    if (s->response.part == REFUSED) end_stream(s, &run.refused);
    else if (s->response.part == AFTER_END) end_stream(s, &run.closed);
}

// Reads the received data; waits for it until `until` at the latest.
static void read_ready(double until)
{
    struct epoll_event ready[BATCH];
    double wait_ms = ceil((until - now()) * 1e3);
    int count = epoll_wait(run.epoll, ready, BATCH, wait_ms > 0 ? (int)wait_ms : 0);
    double t = now();
    for (int i = 0; i < count; i++) read_stream(ready[i].data.ptr, t);
}

static void read_until(double until)
{
    while (run.open && now() < until) read_ready(until);
}

// A connected socket on which the request was sent, or -1.
static int send_request(int number, const char *request)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), on = 1;
    if (fd < 0) return -1;
    struct timeval patience = {.tv_sec = 5};
    struct sockaddr_in from = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK + (unsigned)(number % SOURCES))};
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK), .sin_port = htons((unsigned short)options.port)};
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
    setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof on);
    setsockopt(fd, SOL_SOCKET, SO_TIMESTAMPNS, &on, sizeof on);
    size_t length = strlen(request);
    if (bind(fd, (struct sockaddr *)&from, sizeof from) || connect(fd, (struct sockaddr *)&to, sizeof to) ||
        send(fd, request, length, MSG_NOSIGNAL) != (ssize_t)length || fcntl(fd, F_SETFL, O_NONBLOCK)) {
        close(fd);
        return -1;
    }
    return fd;
}

static void open_streams(const char *request, double deadline)
{
    double begin = now();
    for (int i = 0; i < options.streams; i++) {
        double due = begin + i * options.every;
        while (options.every && now() < due) read_ready(due);
        struct stream *s = &run.streams[i];
        s->sent_at = now();
        s->fd = s->sent_at < deadline ? send_request(i, request) : -1;
        if (s->fd < 0) {
            run.refused++;
            continue;
        }
        run.open++;
        struct epoll_event event = {.events = EPOLLIN, .data.ptr = s};
        epoll_ctl(run.epoll, EPOLL_CTL_ADD, s->fd, &event);
        read_ready(0);
    }
}

// ---- the command

static void add_header(const char *line)
{
    size_t used = strlen(options.headers);
    if (used + strlen(line) + 3 > sizeof options.headers) give_up("the headers are too long");
    sprintf(options.headers + used, "%s\r\n", line);
}

static void add_pid(const char *text)
{
    if (options.pid_count == MAX_PIDS) give_up("too many --pid");
    options.pids[options.pid_count++] = atoi(text);
}

static void read_deadlines(const char *path)
{
    FILE *file = fopen(path, "r");
    if (!file) give_up("--deadlines: the file cannot be read");
    for (double ms; fscanf(file, "%lf", &ms) == 1; options.deadlines[options.deadline_count++] = ms / 1e3) {
        if (options.deadline_count & (options.deadline_count - 1)) continue; // room doubles at each power of two
        size_t room = options.deadline_count ? 2 * (size_t)options.deadline_count : 1;
        options.deadlines = must(realloc(options.deadlines, room * sizeof *options.deadlines));
    }
    fclose(file);
    if (!options.deadline_count) give_up("--deadlines: the file has no number");
}

static void read_options(int argc, char **argv)
{
    static const struct option known[] = {
        {"port", 1, NULL, 'p'},   {"streams", 1, NULL, 'n'}, {"seconds", 1, NULL, 's'}, {"warmup", 1, NULL, 'w'},
        {"gap-ms", 1, NULL, 'g'}, {"every-ms", 1, NULL, 'e'}, {"path", 1, NULL, 'u'},   {"body", 1, NULL, 'b'},
        {"header", 1, NULL, 'h'}, {"pid", 1, NULL, 'i'},      {"deadlines", 1, NULL, 'd'}, {"open-within", 1, NULL, 'o'}, {NULL, 0, NULL, 0}};
    for (int option; (option = getopt_long(argc, argv, "", known, NULL)) != -1;) {
        switch (option) {
        case 'p': options.port = atoi(optarg); break;
        case 'n': options.streams = atoi(optarg); break;
        case 's': options.seconds = atof(optarg); break;
        case 'w': options.warmup = atof(optarg); break;
        case 'g': options.gap = atof(optarg) / 1e3; break;
        case 'e': options.every = atof(optarg) / 1e3; break;
        case 'u': options.path = optarg; break;
        case 'b': options.body = optarg; break;
        case 'h': add_header(optarg); break;
        case 'i': add_pid(optarg); break;
        case 'o': options.open_within = atof(optarg); break;
        case 'd': read_deadlines(optarg); break;
        default: give_up("its options stand at the head of streamload.c");
        }
    }
    if (optind < argc) give_up("its options stand at the head of streamload.c");
    if (options.port < 1 || options.port > 65535) give_up("--port: want 1 to 65535");
    if (options.streams < 1 || options.streams > MAX_STREAMS) give_up("--streams: want 1 to 60000");
    double lasts = options.seconds + options.warmup + options.every * options.streams;
    if (!(options.seconds > 0 && options.warmup >= 0 && options.gap >= 0 && options.every >= 0 && lasts <= MAX_SECONDS))
        give_up("want times that are positive, and at most 300 s in all");
}

static char *make_request(void)
{
    char *request = NULL, length[96] = "";
    if (options.body) snprintf(length, sizeof length, "Content-Type: application/json\r\nContent-Length: %zu\r\n", strlen(options.body));
    if (asprintf(&request, "%s %s HTTP/1.1\r\nHost: 127.0.0.1:%d\r\n%s%s\r\n%s", options.body ? "POST" : "GET", options.path,
                 options.port, options.headers, length, options.body ? options.body : "") < 0)
        give_up("out of memory");
    return request;
}

static void raise_file_limit(void)
{
    struct rlimit files;
    if (getrlimit(RLIMIT_NOFILE, &files)) return;
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
}

static double measure(void)
{
    run.measured_from = now();
    fprintf(stderr, "measuring\n");
    read_until(run.measured_from + options.seconds);
    double took = now() - run.measured_from;
    fprintf(stderr, "measured\n");
    return took;
}

int main(int argc, char **argv)
{
    read_options(argc, argv);
    raise_file_limit();
    double deadline = now() + MAX_SECONDS;
    run.streams = must(calloc((size_t)options.streams, sizeof *run.streams));
    samples_init(&run.late, MAX_SAMPLES);
    samples_init(&run.firsts, options.streams);
    run.epoll = epoll_create1(EPOLL_CLOEXEC);
    run.clock_offset = clock_offset();

    double resident_before = over_pids(resident_kib_of);
    open_streams(make_request(), fmin(now() + options.open_within, deadline - options.warmup - options.seconds));
    read_until(now() + options.warmup);
    double cpu = over_pids(cpu_seconds_of);
    double took = measure();
    cpu = over_pids(cpu_seconds_of) - cpu;
    double resident = over_pids(resident_kib_of);
    if (fabs(clock_offset() - run.clock_offset) > MAX_CLOCK_STEP_S) give_up("the clock was set while it measured");
    lateness_over_earliest();

    printf("{\"streams\": %d, \"refused\": %ld, \"closed\": %ld, \"seconds\": %.3f, \"tokens\": %ld, \"tokens_per_s\": %.0f, \"bytes\": %ld",
           options.streams, run.refused, run.closed, took, run.tokens, (double)run.tokens / took, run.bytes);
    printf(", \"cpu\": %.4f, \"cpu_us_per_token\": %.3f", cpu / took, run.tokens ? cpu * 1e6 / (double)run.tokens : 0);
    printf(", \"rss_before_kib\": %.0f, \"rss_open_kib\": %.0f, \"kib_per_stream\": %.3f", resident_before, resident,
           (resident - resident_before) / options.streams);
    printf(", \"gap_cv\": %.4f", coefficient_of_variation(&run.gaps));
    samples_print("late_ms", &run.late);
    samples_print("first_ms", &run.firsts);
    printf("}\n");
    return 0;
}
