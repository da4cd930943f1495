/* A wire in user space, as tests/natlab/wire.py, for packets by the hundred thousand a second.

   It joins two TAP devices in two namespaces, and lives as long as its standard input is open. A
   line there has what holds from now on, for both directions:

       DELAY JITTER LOSS RATE QUEUE SEED    seconds, seconds, 0 to 1, bit/s, seconds, a number

   or is "?". Each is answered by a line of JSON with what has become of the packets so far, a
   number for each direction:

       fast_wire /proc/1/fd/5 eth0 /proc/1/fd/6 eth0 */

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
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

enum {
    SLOTS = 1 << 17, /* packets under way in one direction: 1.6 s of 100 Mbit/s in small ones */
    SLOT = 2048,     /* bytes of a packet with its Ethernet header, and some more */
    BATCH = 64,      /* packets read from one side before the other has its turn */
    LINE = 256
};

struct packet {
    uint64_t due, number;
    uint32_t length, slot;
};

struct counts {
    uint64_t read, written, lost, queue_full, wire_full, not_taken, worst_lateness;
};

struct direction {
    int source, sink;
    uint64_t chances, free_at, number;
    uint32_t travelling, *free_slots;
    struct packet *heap; /* by due, then by number: what is due first is at the root */
    unsigned char *slots;
    struct counts counts;
};

static struct {
    double jitter, loss, ns_per_byte;
    uint64_t delay, queue;
} wire;

static void fail(const char *what)
{
    perror(what);
    exit(2);
}

static void *allocate(size_t size)
{
    void *memory = malloc(size); /* pages that no packet needs are never touched */
    if (!memory)
        fail("malloc");
    return memory;
}

static uint64_t now(void)
{
    struct timespec at;
    clock_gettime(CLOCK_MONOTONIC, &at);
    return (uint64_t)at.tv_sec * 1000000000u + (uint64_t)at.tv_nsec;
}

/* Return a number of 0 to below 1: splitmix64, for which every seed is a good one. */
static double chance(struct direction *way)
{
    uint64_t z = way->chances += 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return (double)((z ^ (z >> 31)) >> 11) * 0x1p-53;
}

static int open_tap(const char *namespace, const char *device)
{
    struct ifreq request = {.ifr_flags = IFF_TAP | IFF_NO_PI};
    int file = open(namespace, O_RDONLY | O_CLOEXEC);
    if (file < 0 || setns(file, CLONE_NEWNET) != 0)
        fail(namespace);
    close(file);
    file = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
    if (file < 0)
        fail("/dev/net/tun");
    strncpy(request.ifr_name, device, IFNAMSIZ - 1);
    if (ioctl(file, TUNSETIFF, &request) != 0)
        fail(device);
    return file;
}

static int before(const struct packet *a, const struct packet *b)
{
    return a->due != b->due ? a->due < b->due : a->number < b->number;
}

static void push(struct direction *way, struct packet packet)
{
    uint32_t at = way->travelling++;
    while (at > 0 && before(&packet, &way->heap[(at - 1) / 2])) {
        way->heap[at] = way->heap[(at - 1) / 2];
        at = (at - 1) / 2;
    }
    way->heap[at] = packet;
}

static struct packet pop(struct direction *way)
{
    struct packet first = way->heap[0], last = way->heap[--way->travelling];
    uint32_t at = 0, child;
    while ((child = 2 * at + 1) < way->travelling) {
        if (child + 1 < way->travelling && before(&way->heap[child + 1], &way->heap[child]))
            child++;
        if (!before(&way->heap[child], &last))
            break;
        way->heap[at] = way->heap[child];
        at = child;
    }
    way->heap[at] = last;
    return first;
}

/* Take a packet that was read into a slot, or lose it; return whether the slot is in use now. */
static int put(struct direction *way, uint32_t slot, uint32_t length)
{
    uint64_t at = now();
    double delay;
    if (wire.loss > 0 && chance(way) < wire.loss) {
        way->counts.lost++;
        return 0;
    }
    if (wire.ns_per_byte > 0) {
        if (way->free_at < at)
            way->free_at = at;
        if (way->free_at - at > wire.queue) {
            way->counts.queue_full++;
            return 0;
        }
        way->free_at += (uint64_t)(length * wire.ns_per_byte);
        at = way->free_at;
    }
    delay = (double)wire.delay;
    if (wire.jitter > 0)
        delay += (2 * chance(way) - 1) * wire.jitter;
    at += delay > 0 ? (uint64_t)delay : 0;
    push(way, (struct packet){at, way->number++, length, slot});
    return 1;
}

static void take(struct direction *way)
{
    static unsigned char excess[SLOT];
    for (int i = 0; i < BATCH; i++) {
        int full = way->travelling == SLOTS;
        uint32_t slot = full ? 0 : way->free_slots[way->travelling];
        unsigned char *into = full ? excess : way->slots + (size_t)slot * SLOT;
        ssize_t length = read(way->source, into, SLOT);
        if (length <= 0)
            return; /* none is left, or the device is down */
        way->counts.read++;
        if (full)
            way->counts.wire_full++;
        else
            put(way, slot, (uint32_t)length);
    }
}

/* Hand on what is due; return when the next packet is, or a time that never comes. */
static uint64_t deliver(struct direction *way)
{
    while (way->travelling > 0) {
        uint64_t at = now(), due = way->heap[0].due;
        struct packet packet;
        if (due > at)
            return due;
        packet = pop(way);
        if (at - due > way->counts.worst_lateness)
            way->counts.worst_lateness = at - due;
        if (write(way->sink, way->slots + (size_t)packet.slot * SLOT, packet.length) < 0)
            way->counts.not_taken++; /* a device that is down, as a cable that is pulled */
        else
            way->counts.written++;
        /* The free slots are those behind the last that travels. */
        way->free_slots[way->travelling] = packet.slot;
    }
    return UINT64_MAX;
}

static void change(const char *line, struct direction ways[2])
{
    double delay, jitter, loss, rate, queue;
    unsigned long long seed;
    if (sscanf(line, "%lf %lf %lf %lf %lf %llu", &delay, &jitter, &loss, &rate, &queue, &seed) != 6) {
        fprintf(stderr, "not understood: %s\n", line);
        exit(2);
    }
    wire.delay = (uint64_t)(delay * 1e9);
    wire.jitter = jitter * 1e9;
    wire.loss = loss;
    wire.ns_per_byte = rate > 0 ? 8e9 / rate : 0;
    wire.queue = (uint64_t)(queue * 1e9);
    ways[0].chances = 2 * seed;
    ways[1].chances = 2 * seed + 1;
}

static void tell(const char *name, uint64_t a, uint64_t b, const char *end)
{
    printf("\"%s\": [%llu, %llu]%s", name, (unsigned long long)a, (unsigned long long)b, end);
}

static void answer(const struct counts *a, const struct counts *b)
{
    printf("{");
    tell("read", a->read, b->read, ", ");
    tell("written", a->written, b->written, ", ");
    tell("lost", a->lost, b->lost, ", ");
    tell("queue_full", a->queue_full, b->queue_full, ", ");
    tell("wire_full", a->wire_full, b->wire_full, ", ");
    tell("not_taken", a->not_taken, b->not_taken, ", ");
    tell("worst_lateness_ns", a->worst_lateness, b->worst_lateness, "}\n");
    fflush(stdout);
}

/* Obey what standard input says; return 0 at its end. */
static int obey(struct direction ways[2])
{
    static char pending[LINE];
    static size_t length;
    char *end;
    ssize_t got = read(STDIN_FILENO, pending + length, LINE - 1 - length);
    if (got <= 0)
        return got < 0 && errno == EINTR;
    length += (size_t)got;
    pending[length] = 0;
    while ((end = strchr(pending, '\n'))) {
        *end = 0;
        if (strcmp(pending, "?") != 0)
            change(pending, ways);
        answer(&ways[0].counts, &ways[1].counts);
        length -= (size_t)(end + 1 - pending);
        memmove(pending, end + 1, length + 1);
    }
    return length < LINE - 1;
}

int main(int count, char **words)
{
    struct direction ways[2] = {{0}};
    if (count != 5) {
        fprintf(stderr, "usage: fast_wire NAMESPACE DEVICE NAMESPACE DEVICE\n");
        return 2;
    }
    /* What stands for a network is not slowed down by the programs at its ends. */
    setpriority(PRIO_PROCESS, 0, -15);
    prctl(PR_SET_TIMERSLACK, 1000ul, 0, 0, 0); /* ns; 50 us by default */
    ways[0].source = ways[1].sink = open_tap(words[1], words[2]);
    ways[1].source = ways[0].sink = open_tap(words[3], words[4]);
    for (int i = 0; i < 2; i++) {
        ways[i].slots = allocate((size_t)SLOTS * SLOT);
        ways[i].heap = allocate(SLOTS * sizeof *ways[i].heap);
        ways[i].free_slots = allocate(SLOTS * sizeof *ways[i].free_slots);
        for (uint32_t slot = 0; slot < SLOTS; slot++)
            ways[i].free_slots[slot] = slot;
    }
    for (;;) {
        uint64_t a = deliver(&ways[0]), b = deliver(&ways[1]), next = a < b ? a : b, at = now();
        uint64_t wait = next > at ? next - at : 0;
        struct timespec timeout = {(time_t)(wait / 1000000000u), (long)(wait % 1000000000u)};
        struct pollfd files[3] = {{ways[0].source, POLLIN, 0},
                                  {ways[1].source, POLLIN, 0},
                                  {STDIN_FILENO, POLLIN, 0}};
        if (ppoll(files, 3, next == UINT64_MAX ? NULL : &timeout, NULL) < 0 && errno != EINTR)
            fail("ppoll");
        if (files[2].revents && !obey(ways))
            return 0;
        for (int i = 0; i < 2; i++)
            if (files[i].revents & POLLIN)
                take(&ways[i]);
    }
}
