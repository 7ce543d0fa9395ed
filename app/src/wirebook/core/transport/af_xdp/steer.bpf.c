/* Hands the configured multicast groups and ports to an AF_XDP socket, and everything else to the kernel.
 *
 * The kernel's firewall never sees a redirected frame. So what it and the UDP stack would have looked at is looked at
 * here, for our own groups only: lengths, the IP header's checksum, the sender, and a rate limit.
 *
 * Needs Linux 6.1 (bpf_ktime_get_tai_ns). Written so that CAP_BPF and CAP_NET_ADMIN load it: without CAP_PERFMON the
 * verifier allows no arithmetic with pointers but by constants.
 */

#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/udp.h>

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "steer.h"

#define IP_FRAGMENT 0x3FFF /* more fragments, or an offset */

struct {
    __uint(type, BPF_MAP_TYPE_HASH);
    __uint(max_entries, STEER_DESTINATIONS);
    __type(key, struct steer_destination);
    __type(value, __u32);
} destinations SEC(".maps");

/* A set: the value says nothing. */
struct {
    __uint(type, BPF_MAP_TYPE_HASH);
    __uint(max_entries, STEER_SENDERS);
    __type(key, __u32);
    __type(value, __u32);
} senders SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_XSKMAP);
    __uint(max_entries, STEER_QUEUES);
    __type(key, __u32);
    __type(value, __u32);
} sockets SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
    __uint(max_entries, STEER_VERDICTS);
    __type(key, __u32);
    __type(value, __u64);
} verdicts SEC(".maps");

/* Set before the program is loaded, in sections of their own so that the loader finds them. */
const volatile struct steer_limit limit SEC(".rodata.limit") = {};
const volatile __u32 listed_only SEC(".rodata.listed_only") = 0;

/* When the time that was given to packets so far is used up. Not atomic: a queue is polled by one CPU at a time. */
static __u64 spent_until;

static __always_inline int count(__u32 verdict, int action)
{
    __u64 *counter = bpf_map_lookup_elem(&verdicts, &verdict);

    if (counter)
        *counter += 1;
    return action;
}

static __always_inline int within_rate(__u64 now)
{
    __u64 until = spent_until;

    if (!limit.packet_ns)
        return 1;
    /* Further ahead than it can ever be: the clock was set back. */
    if (until < now || until - now > limit.burst_ns + limit.packet_ns)
        until = now;
    if (until - now > limit.burst_ns)
        return 0;
    spent_until = until + limit.packet_ns;
    return 1;
}

static __always_inline int sound_header(const struct iphdr *ip)
{
    const __u16 *words = (const __u16 *)ip;
    __u32 sum = 0;

#pragma unroll
    for (int i = 0; i < 10; i++)
        sum += words[i];
    sum = (sum & 0xFFFF) + (sum >> 16);
    sum = (sum & 0xFFFF) + (sum >> 16);
    return sum == 0xFFFF;
}

SEC("xdp")
int steer(struct xdp_md *context)
{
    void *data = (void *)(long)context->data;
    void *end = (void *)(long)context->data_end;
    struct ethhdr *ethernet = data;
    struct iphdr *ip = (void *)(ethernet + 1);
    struct udphdr *udp = (void *)(ip + 1);
    struct steer_destination destination = {};
    struct steer_stamp *stamp;
    __u32 *known;
    __u32 line;
    __u32 sender;
    __u64 now;
    __u16 length;

    /* A group's frames have the multicast bit; a frame that is too short to tell is not ours to judge. */
    if ((void *)(ip + 1) > end || !(ethernet->h_dest[0] & 1) || ethernet->h_proto != bpf_htons(ETH_P_IP))
        return count(STEER_OTHER, XDP_PASS);
    if (ip->version != 4 || ip->protocol != IPPROTO_UDP)
        return count(STEER_OTHER, XDP_PASS);
    if (ip->frag_off & bpf_htons(IP_FRAGMENT))
        return count(STEER_FRAGMENT, XDP_PASS);
    if (ip->ihl != 5)
        return count(STEER_OPTIONS, XDP_PASS);
    if ((void *)(udp + 1) > end)
        return count(STEER_OTHER, XDP_PASS);
    destination.group = ip->daddr;
    destination.port = udp->dest;
    known = bpf_map_lookup_elem(&destinations, &destination);
    if (!known)
        return count(STEER_OTHER, XDP_PASS);
    line = *known;

    if (bpf_redirect_map(&sockets, context->rx_queue_index, XDP_PASS) != XDP_REDIRECT)
        return count(STEER_QUEUE, XDP_PASS);
    /* A frame may be longer than its packet (Ethernet pads to 60 bytes), a packet never longer than its frame. */
    length = bpf_ntohs(ip->tot_len);
    if (length < sizeof(*ip) + sizeof(*udp) || length + sizeof(*ethernet) > bpf_xdp_get_buff_len(context) ||
        bpf_ntohs(udp->len) != length - sizeof(*ip))
        return count(STEER_BAD_LENGTH, XDP_DROP);
    if (!sound_header(ip))
        return count(STEER_BAD_CHECKSUM, XDP_DROP);
    sender = ip->saddr;
    if (listed_only && !bpf_map_lookup_elem(&senders, &sender))
        return count(STEER_SENDER, XDP_DROP);
    now = bpf_ktime_get_tai_ns();
    if (!within_rate(now))
        return count(STEER_RATE, XDP_DROP);

    if (bpf_xdp_adjust_meta(context, -(int)sizeof(*stamp)))
        count(STEER_UNSTAMPED, XDP_REDIRECT);
    else {
        stamp = (void *)(long)context->data_meta;
        if ((void *)(stamp + 1) <= (void *)(long)context->data) {
            stamp->tai_ns = now;
            stamp->line = line;
            stamp->mark = STEER_MARK;
        }
    }
    return count(STEER_REDIRECTED, XDP_REDIRECT);
}

char license_text[] SEC("license") = "Apache-2.0";
