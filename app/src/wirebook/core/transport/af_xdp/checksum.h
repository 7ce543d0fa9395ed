/* The Internet checksum (RFC 1071). */

#ifndef WIREBOOK_CHECKSUM_H
#define WIREBOOK_CHECKSUM_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* `sum` and the words of `data`, in whatever order the memory has them. Halves of 64-bit words are added up apart, so
 * that no carry is lost, 32 bytes at a time. */
static inline uint64_t wb_sum(const char *data, size_t length, uint64_t sum)
{
    typedef uint64_t words __attribute__((vector_size(32)));
    words low = {}, high = {}, next;
    uint64_t rest = 0;

    for (; length >= sizeof(next); data += sizeof(next), length -= sizeof(next)) {
        memcpy(&next, data, sizeof(next));
        low += next & 0xFFFFFFFF;
        high += next >> 32;
    }
    low += high;
    for (; length >= sizeof(rest); data += sizeof(rest), length -= sizeof(rest)) {
        memcpy(&rest, data, sizeof(rest));
        sum += (rest & 0xFFFFFFFF) + (rest >> 32);
    }
    if (length) {
        rest = 0; /* an odd last byte is the first of a word: such a word's second is 0 */
        memcpy(&rest, data, length);
        sum += (rest & 0xFFFFFFFF) + (rest >> 32);
    }
    return sum + low[0] + low[1] + low[2] + low[3];
}

static inline uint16_t wb_checksum(uint64_t sum)
{
    sum = (sum & 0xFFFFFFFF) + (sum >> 32);
    sum = (sum & 0xFFFF) + (sum >> 16);
    sum = (sum & 0xFFFF) + (sum >> 16);
    sum = (sum & 0xFFFF) + (sum >> 16);
    return (uint16_t)~sum;
}

#endif
