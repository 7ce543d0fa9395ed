/* The least that a program on AF_XDP does: take a packet's place from the ring, look at the packet, give the place back.
 * Its memory is what the engine's is: hugepages, and payloads that begin a cache line.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <time.h>

#include <xdp/xsk.h>

enum {
    FRAMES = 4096,
    FRAME_BYTES = 2048,
    AREA_BYTES = FRAMES * FRAME_BYTES,
    HUGEPAGE_BYTES = 2 << 20,
    HEADROOM = 22,
    BURST = 32,
    /* In a frame. */
    ADDRESSES = 26,
    UDP = 34,
    PAYLOAD = 42,
    SEQUENCE = 16,
};

struct loop {
    char *area;
    struct xsk_umem *umem;
    struct xsk_socket *socket;
    struct xsk_ring_prod fill;
    struct xsk_ring_cons completed, rx;
};

/* Reserved hugepages if there are any, else transparent ones; AREA_BYTES, never given back. */
static char *memory(void)
{
    int flags = MAP_PRIVATE | MAP_ANONYMOUS;
    char *area = mmap(NULL, AREA_BYTES, PROT_READ | PROT_WRITE, flags | MAP_HUGETLB, -1, 0);

    if (area != MAP_FAILED)
        return area;
    area = mmap(NULL, AREA_BYTES + HUGEPAGE_BYTES, PROT_READ | PROT_WRITE, flags, -1, 0);
    if (area == MAP_FAILED)
        return NULL;
    area += -(uintptr_t)area % HUGEPAGE_BYTES;
    madvise(area, AREA_BYTES, MADV_HUGEPAGE);
    memset(area, 0, AREA_BYTES);
    return area;
}

/* NULL when it can't be had. */
void *loop_new(const char *interface, unsigned queue)
{
    struct xsk_umem_config umem = {
        .fill_size = FRAMES,
        .comp_size = FRAMES,
        .frame_size = FRAME_BYTES,
        .frame_headroom = HEADROOM,
    };
    struct xsk_socket_config config = {
        .rx_size = FRAMES / 2,
        .tx_size = FRAMES / 2,
        .libxdp_flags = XSK_LIBXDP_FLAGS__INHIBIT_PROG_LOAD,
        .bind_flags = XDP_USE_NEED_WAKEUP,
    };
    struct loop *loop = calloc(1, sizeof(*loop));
    uint32_t index = 0;

    if (!loop)
        return NULL;
    loop->area = memory();
    if (!loop->area || xsk_umem__create(&loop->umem, loop->area, AREA_BYTES, &loop->fill, &loop->completed, &umem) ||
        xsk_socket__create(&loop->socket, interface, queue, loop->umem, &loop->rx, NULL, &config)) {
        free(loop);
        return NULL;
    }
    xsk_ring_prod__reserve(&loop->fill, FRAMES, &index);
    for (uint32_t n = 0; n < FRAMES; n++)
        *xsk_ring_prod__fill_addr(&loop->fill, index + n) = (uint64_t)n * FRAME_BYTES;
    xsk_ring_prod__submit(&loop->fill, FRAMES);
    return loop;
}

int loop_fd(struct loop *loop)
{
    return xsk_socket__fd(loop->socket);
}

static uint64_t thread_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

/* Whether the UDP checksum of a frame is right (RFC 768, RFC 1071). */
static int sound(const char *frame)
{
    const char *from = frame + ADDRESSES;
    uint16_t length, word;
    uint64_t sum;
    uint32_t at, end;

    memcpy(&length, frame + UDP + 4, sizeof(length));
    sum = htons(IPPROTO_UDP) + length;
    end = UDP - ADDRESSES + ntohs(length);
    for (at = 0; at + 1 < end; at += 2) {
        memcpy(&word, from + at, sizeof(word));
        sum += word;
    }
    if (end & 1)
        sum += (uint8_t)from[end - 1];
    while (sum >> 16)
        sum = (sum & 0xFFFF) + (sum >> 16);
    return sum == 0xFFFF;
}

/* CPU time in ns for taking what is there, and with `verify` adding up its checksums; *packets and *sum of their
 * sequences are added to. */
uint64_t loop_drain(struct loop *loop, int verify, uint64_t *packets, uint64_t *sum)
{
    uint64_t start = thread_ns();

    for (;;) {
        uint32_t from = 0, to = 0;
        uint32_t count = xsk_ring_cons__peek(&loop->rx, BURST, &from);

        if (!count)
            break;
        xsk_ring_prod__reserve(&loop->fill, count, &to);
        for (uint32_t n = 0; n < count; n++) {
            uint64_t address = xsk_ring_cons__rx_desc(&loop->rx, from + n)->addr;
            uint64_t sequence;

            memcpy(&sequence, loop->area + address + PAYLOAD + SEQUENCE, sizeof(sequence));
            if (!verify || sound(loop->area + address))
                *sum += sequence;
            *xsk_ring_prod__fill_addr(&loop->fill, to + n) = address & ~(uint64_t)(FRAME_BYTES - 1);
        }
        xsk_ring_prod__submit(&loop->fill, count);
        xsk_ring_cons__release(&loop->rx, count);
        *packets += count;
        if (xsk_ring_prod__needs_wakeup(&loop->fill))
            recvfrom(loop_fd(loop), NULL, 0, MSG_DONTWAIT, NULL, NULL);
    }
    return thread_ns() - start;
}
