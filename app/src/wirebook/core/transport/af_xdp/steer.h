/* What the XDP program, the loader and the receiver must agree on. */

#ifndef WIREBOOK_STEER_H
#define WIREBOOK_STEER_H

#include <linux/types.h>

/* What became of a frame: the indexes of the map `verdicts`. */
enum steer_verdict {
    STEER_REDIRECTED,    /* to the socket */
    STEER_UNSTAMPED,     /* of those, without a time: the driver has no room for metadata */
    STEER_OTHER,         /* passed to the kernel: nothing of ours */
    STEER_FRAGMENT,      /* passed: a UDP fragment has no port to go by */
    STEER_OPTIONS,       /* passed: UDP behind IP options, which no publisher of ours sends */
    STEER_QUEUE,         /* passed: ours, but on a queue that no socket is bound to */
    STEER_BAD_LENGTH,    /* dropped: ours, and its IP and UDP lengths contradict each other or the frame */
    STEER_BAD_CHECKSUM,  /* dropped: ours, and the IP header is damaged */
    STEER_SENDER,        /* dropped: of a sender that isn't listed */
    STEER_RATE,          /* dropped: more than the rate limit allows */
    STEER_VERDICTS,
};

/* A multicast group and UDP port that are redirected, in network byte order; the map's value is the packet's line. */
struct steer_destination {
    __u32 group;
    __u16 port;
    __u16 zero;
};

/* Who may send, if that is limited at all: IPv4 addresses, in network byte order. */
#define STEER_SENDERS 64

/* A token bucket: a packet takes packet_ns of the time that passes (0: there is no limit), and burst_ns of that may be
 * taken in advance. */
struct steer_limit {
    __u64 packet_ns;
    __u64 burst_ns;
};

/* In front of every redirected frame. `mark` tells it from what was in the memory before. */
struct steer_stamp {
    __u64 tai_ns;
    __u32 line;
    __u32 mark;
};

#define STEER_MARK 0x584B4257u /* "WBKX" */
#define STEER_DESTINATIONS 16
#define STEER_QUEUES 64

#endif
