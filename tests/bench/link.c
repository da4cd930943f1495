/* A link between two namespaces that delays and loses packets, and has a rate and a queue.
 *
 * What tests/natlab/wire.py does, for benchmarks that it would slow down. It makes a TAP device in
 * each namespace, prints a line, and ends with its standard input:
 *
 *     link NAMESPACE DEVICE NAMESPACE DEVICE DELAY_US LOSS_PPM RATE_BITS QUEUE_US SEED
 *
 * Delay, loss, rate and queue hold for each direction; a rate of 0 is without limit.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <poll.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

enum { SLOTS = 1 << 16, FRAME = 1600, BATCH = 64 };

struct frame {
    uint64_t due;
    uint16_t size;
    unsigned char bytes[FRAME];
};

struct direction {
    int from, to;
    uint32_t first, count;   /* a ring: frames keep their order, as the delay is constant */
    uint64_t free_at;        /* when the rate lets the next frame begin */
    struct frame *ring;
};

static uint64_t delay, rate, queue_limit, chances;
static uint32_t loss;

static uint64_t clock_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* splitmix64 */
static uint32_t million(void) {
    uint64_t z = (chances += 0x9e3779b97f4a7c15u);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return (uint32_t)((z ^ (z >> 31)) % 1000000u);
}

static void fail(const char *what) {
    fprintf(stderr, "link: %s: %s\n", what, strerror(errno));
    exit(1);
}

static int open_tap(const char *namespace, const char *device) {
    struct ifreq request = {0};
    int file = open(namespace, O_RDONLY | O_CLOEXEC);
    if (file < 0 || setns(file, CLONE_NEWNET) != 0) fail(namespace);
    close(file);
    int tap = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
    if (tap < 0) fail("/dev/net/tun");
    strncpy(request.ifr_name, device, IFNAMSIZ - 1);
    request.ifr_flags = IFF_TAP | IFF_NO_PI;
    if (ioctl(tap, TUNSETIFF, &request) != 0) fail(device);
    return tap;
}

static void take(struct direction *d) {
    for (int i = 0; i < BATCH; i++) {
        struct frame *f = &d->ring[(d->first + d->count) % SLOTS];
        ssize_t size = read(d->from, f->bytes, FRAME);
        if (size <= 0) return;
        if (loss && million() < loss) continue;
        if (d->count >= SLOTS - 1) continue;
        uint64_t now = clock_ns(), leaves = now;
        if (rate) {
            if (d->free_at < now) d->free_at = now;
            if (d->free_at - now > queue_limit) continue;
            d->free_at += (uint64_t)size * 8u * 1000000000u / rate;
            leaves = d->free_at;
        }
        f->size = (uint16_t)size;
        f->due = leaves + delay;
        d->count++;
    }
}

static uint64_t give(struct direction *d) {
    while (d->count) {
        struct frame *f = &d->ring[d->first % SLOTS];
        if (f->due > clock_ns()) return f->due;
        if (write(d->to, f->bytes, f->size) < 0 && errno == EINVAL) fail("write");
        d->first++;
        d->count--;
    }
    return UINT64_MAX;
}

int main(int argc, char **argv) {
    if (argc != 10) {
        fprintf(stderr, "link: 9 arguments are needed, see link.c\n");
        return 2;
    }
    prctl(PR_SET_PDEATHSIG, 9);
    prctl(PR_SET_TIMERSLACK, 20000);
    int lower = open_tap(argv[1], argv[2]), upper = open_tap(argv[3], argv[4]);
    delay = strtoull(argv[5], NULL, 10) * 1000u;
    loss = (uint32_t)strtoul(argv[6], NULL, 10);
    rate = strtoull(argv[7], NULL, 10);
    queue_limit = strtoull(argv[8], NULL, 10) * 1000u;
    chances = strtoull(argv[9], NULL, 10);
    struct direction ways[2] = {{.from = lower, .to = upper}, {.from = upper, .to = lower}};
    for (int i = 0; i < 2; i++)
        if (!(ways[i].ring = malloc(sizeof(struct frame) * SLOTS))) fail("malloc");
    puts("ready");
    fflush(stdout);
    for (;;) {
        uint64_t due = UINT64_MAX;
        for (int i = 0; i < 2; i++) {
            uint64_t next = give(&ways[i]);
            if (next < due) due = next;
        }
        struct timespec wait = {3600, 0};
        if (due != UINT64_MAX) {
            uint64_t now = clock_ns(), left = due > now ? due - now : 0;
            wait.tv_sec = (time_t)(left / 1000000000u);
            wait.tv_nsec = (long)(left % 1000000000u);
        }
        struct pollfd files[3] = {{lower, POLLIN, 0}, {upper, POLLIN, 0}, {0, POLLIN, 0}};
        if (ppoll(files, 3, &wait, NULL) <= 0) continue;
        if (files[2].revents) return 0; /* whoever started it has gone */
        for (int i = 0; i < 2; i++)
            if (files[i].revents & POLLIN) take(&ways[i]);
    }
}
