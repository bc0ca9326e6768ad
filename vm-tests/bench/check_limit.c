/* What N checks a second cost at least: one thread of non-blocking connects, nothing judged, nothing kept.
 *
 *   check-limit FIRST-ADDRESS COUNT PORT tcp|http SECONDS
 *   check-limit serve PORT
 *
 * Checks COUNT addresses from FIRST-ADDRESS on once a second, spread over ticks of 10 ms as fairway-director spreads
 * them, and closes every connection by a reset. `http` sends a request and reads until the server closes or 4 KiB are
 * in. Prints, as one JSON line, how many checks succeeded and failed and the processor time they took.
 *
 * `serve` is the other side: it answers every connection at the port of every address, and on SIGUSR1 prints how many
 * there have been. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { TICKS = 100, TICK_MS = 10, EVENTS = 256 };

static int64_t now_ms(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000LL + t.tv_nsec / 1000000;
}

static double seconds(struct timeval t) { return t.tv_sec + t.tv_usec / 1e6; }

static void fail(const char *what) {
    perror(what);
    exit(1);
}

static volatile sig_atomic_t asked;

static void ask(int signal) {
    (void)signal;
    asked = 1;
}

static _Noreturn void serve(int port) {
    static const char answer[] = "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nConnection: close\r\n\r\nok\n";
    struct epoll_event events[EVENTS];
    char request[4096];
    long served = 0;
    const int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), epoll = epoll_create1(EPOLL_CLOEXEC);
    const struct sockaddr_in any = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    const int yes = 1;
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
    if (bind(listener, (const struct sockaddr *)&any, sizeof any) < 0 || listen(listener, 65535) < 0) fail("listen");
    struct epoll_event wanted = {.events = EPOLLIN, .data.fd = listener};
    if (epoll_ctl(epoll, EPOLL_CTL_ADD, listener, &wanted) < 0) fail("epoll_ctl");
    sigaction(SIGUSR1, &(struct sigaction){.sa_handler = ask}, NULL);
    printf("ready\n");
    for (;;) {
        fflush(stdout);
        const int ready = epoll_wait(epoll, events, EVENTS, -1);
        if (asked) {
            asked = 0;
            printf("%ld\n", served);
        }
        for (int i = 0; i < ready; i++) {
            int fd = events[i].data.fd;
            if (fd == listener) {
                while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
                    served++;
                    wanted.data.fd = fd;
                    epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &wanted);
                }
                continue;
            }
            if (recv(fd, request, sizeof request, 0) > 0) send(fd, answer, sizeof answer - 1, MSG_NOSIGNAL);
            close(fd);
        }
    }
}

int main(int argc, char **argv) {
    setrlimit(RLIMIT_NOFILE, &(struct rlimit){65536, 65536});
    if (argc == 3 && strcmp(argv[1], "serve") == 0) serve(atoi(argv[2]));
    if (argc != 6) {
        fprintf(stderr, "usage: check-limit FIRST-ADDRESS COUNT PORT tcp|http SECONDS\n       check-limit serve PORT\n");
        return 2;
    }
    struct in_addr first;
    if (inet_pton(AF_INET, argv[1], &first) != 1) fail(argv[1]);
    const int count = atoi(argv[2]), port = atoi(argv[3]), http = strcmp(argv[4], "http") == 0, duration = atoi(argv[5]);
    const struct linger reset = {.l_onoff = 1, .l_linger = 0};
    static const char request[] = "GET / HTTP/1.1\r\nHost: check\r\nConnection: close\r\n\r\n";
    struct epoll_event events[EVENTS];
    char answer[4096];
    long passed = 0, failed = 0;
    const int epoll = epoll_create1(EPOLL_CLOEXEC);
    if (epoll < 0) fail("epoll_create1");
    const int64_t start = now_ms();
    long tick = 0;
    int started = 0; /* of this second's checks */
    for (;;) {
        const int64_t now = now_ms();
        if (now - start >= duration * 1000LL) break;
        while (start + tick * TICK_MS <= now) {
            const int until = (int)((tick % TICKS + 1) * count / TICKS);
            for (; started < until; started++) {
                const int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
                if (fd < 0) fail("socket");
                setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
                struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
                to.sin_addr.s_addr = htonl(ntohl(first.s_addr) + (uint32_t)started);
                if (connect(fd, (struct sockaddr *)&to, sizeof to) < 0 && errno != EINPROGRESS) {
                    failed++;
                    close(fd);
                    continue;
                }
                /* `u32`: the descriptor, and above it whether the request has been sent */
                struct epoll_event wanted = {.events = EPOLLOUT, .data.u64 = (uint64_t)fd};
                if (epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &wanted) < 0) fail("epoll_ctl");
            }
            if (++tick % TICKS == 0) started = 0;
        }
        const int64_t wait = start + tick * TICK_MS - now_ms();
        const int ready = epoll_wait(epoll, events, EVENTS, wait > 0 ? (int)wait : 0);
        for (int i = 0; i < ready; i++) {
            const int fd = (int)(uint32_t)events[i].data.u64, asked = (int)(events[i].data.u64 >> 32);
            if (!asked) {
                int error = 0;
                socklen_t size = sizeof error;
                getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size);
                if (error == 0 && http && send(fd, request, sizeof request - 1, MSG_NOSIGNAL) > 0) {
                    struct epoll_event wanted = {.events = EPOLLIN, .data.u64 = (uint64_t)fd | 1ULL << 32};
                    epoll_ctl(epoll, EPOLL_CTL_MOD, fd, &wanted);
                    continue;
                }
                error || http ? failed++ : passed++;
            } else {
                const ssize_t got = recv(fd, answer, sizeof answer, 0);
                got >= 12 && memcmp(answer + 8, " 200", 4) == 0 ? passed++ : failed++;
            }
            close(fd); /* takes it out of the epoll set */
        }
    }
    struct rusage used;
    getrusage(RUSAGE_SELF, &used);
    long pages = 0; /* ru_maxrss would count what the parent had before exec */
    FILE *memory = fopen("/proc/self/statm", "r");
    if (!memory || fscanf(memory, "%*d %ld", &pages) != 1) fail("/proc/self/statm");
    printf("{\"passed\": %ld, \"failed\": %ld, \"seconds\": %d, \"cpu_s\": %.3f, \"rss_kb\": %ld}\n", passed, failed, duration,
           seconds(used.ru_utime) + seconds(used.ru_stime), pages * (sysconf(_SC_PAGESIZE) / 1024));
    return 0;
}
