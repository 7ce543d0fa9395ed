/* One way over a socket: the sender that both receivers are timed by, and the bare loop that ours is compared with. */
#include "clock.h"
#include "record.h"

#include <errno.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/socket.h>

enum { HEADER_BYTES = 40, RECORDS = 3, PACKET_BYTES = HEADER_BYTES + RECORDS * 48, SEQUENCE_AT = 16, SEND_AT = 24 };

/* The first line of a record of the market cache, docs/market-cache.md. */
struct shown {
    _Atomic uint32_t sequence;
    uint8_t state, reason, bids, asks;
    volatile uint64_t update_id;
    int64_t bid, bid_quantity, ask, ask_quantity;
    uint64_t exchange_ns, receive_ns;
};
_Static_assert(sizeof(struct shown) == 64, "the first line");

/* Sends `packet` `count` times, `gap_ns` apart, each time with the next sequence and update id, and waits until `shown`
   says so. laps: from before the send to the record's being there. -1: a packet didn't come within ten seconds. */
int oneway_send(int fd, char *packet, struct shown *shown, uint64_t first, long count, uint64_t gap_ns, uint64_t *laps)
{
    struct record *records = (struct record *) (packet + HEADER_BYTES);
    uint64_t next = steady_ns();
    for (long lap = 0; lap < count; lap++) {
        uint64_t sequence = first + (uint64_t) lap;
        uint32_t before = atomic_load_explicit(&shown->sequence, memory_order_acquire);
        memcpy(packet + SEQUENCE_AT, &sequence, sizeof sequence);
        for (int n = 0; n < RECORDS; n++) {
            records[n].update_id = sequence;
            records[n].quantity = (int64_t) sequence;
        }
        while (steady_ns() < next)
            ;
        uint64_t start = steady_ns(), wall = clock_ns(CLOCK_REALTIME);
        memcpy(packet + SEND_AT, &wall, sizeof wall);
        if (send(fd, packet, PACKET_BYTES, 0) != PACKET_BYTES)
            return -1;
        for (;;) {
            uint32_t now = atomic_load_explicit(&shown->sequence, memory_order_acquire);
            if (now != before && !(now & 1) && shown->update_id == sequence)
                break;
            if (steady_ns() - start > 10000000000)
                return -1;
        }
        uint64_t end = steady_ns();
        laps[lap] = end - start;
        next = end + gap_ns;
    }
    return 0;
}

/* Receives until *stop, and writes what came into `shown`: the least that can be done with a packet. */
long oneway_receive(int fd, struct shown *shown, _Atomic int *stop)
{
    char packet[2048] __attribute__((aligned(64)));
    long packets = 0;
    while (!atomic_load_explicit(stop, memory_order_relaxed)) {
        ssize_t length = recv(fd, packet, sizeof packet, MSG_DONTWAIT);
        if (length < 0) {
            if (errno != EAGAIN)
                return -1;
            continue;
        }
        const struct record *records = (const struct record *) (packet + HEADER_BYTES);
        if (length != PACKET_BYTES || memcmp(packet, "WBK1", 4) != 0)
            continue;
        uint32_t sequence = atomic_load_explicit(&shown->sequence, memory_order_relaxed);
        atomic_store_explicit(&shown->sequence, sequence + 1, memory_order_relaxed);
        atomic_thread_fence(memory_order_release);
        shown->update_id = records[0].update_id;
        shown->bid = records[0].price;
        shown->bid_quantity = records[0].quantity;
        shown->ask = records[1].price;
        shown->ask_quantity = records[1].quantity;
        shown->exchange_ns = records[0].exchange_ns;
        shown->receive_ns = records[0].receive_ns;
        atomic_store_explicit(&shown->sequence, sequence + 2, memory_order_release);
        packets++;
    }
    return packets;
}
