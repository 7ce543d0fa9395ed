/* A place in a message, and the digits and characters there, 8 and 16 at a time. */
#ifndef WIREBOOK_CURSOR_H
#define WIREBOOK_CURSOR_H

#include <stdint.h>
#include <string.h>

enum { WB_WINDOW = 64 };

typedef struct {
    const char *at, *end;
    const char *wide; /* up to here WB_WINDOW bytes can be read */
    char tail[2 * WB_WINDOW];
} wb_cursor;

/* Go on in a copy of what is left, less than a window, with zeros behind it. Out of line: once per message. */
static inline __attribute__((noinline)) void wb_cursor_tail(wb_cursor *cursor)
{
    const size_t left = (size_t) (cursor->end - cursor->at);
    char *const end = cursor->tail + WB_WINDOW;
    memcpy(end - left, cursor->at, left);
    memset(end, 0, WB_WINDOW);
    cursor->at = end - left;
    cursor->end = cursor->wide = end;
}

static const uint64_t wb_tens[] = {
    1u, 10u, 100u, 1000u, 10000u, 100000u, 1000000u, 10000000u, 100000000u, 1000000000u, 10000000000u,
    100000000000u, 1000000000000u, 10000000000000u, 100000000000000u, 1000000000000000u, 10000000000000000u,
    100000000000000000u, 1000000000000000000u,
};

/* How many of the 8 bytes are digits, from the first on; `digits` are their values. */
static inline int wb_digit_run(const char *at, uint64_t *digits)
{
    uint64_t word, others;
    __builtin_memcpy(&word, at, 8);
    word ^= 0x3030303030303030u;
    /* Above 9 the sum reaches the byte's highest bit; what carries into the next one is not the first. */
    others = (word | (word + 0x7676767676767676u)) & 0x8080808080808080u;
    *digits = word;
    return others ? __builtin_ctzll(others) >> 3 : 8;
}

/* Eight digits, the first one in the lowest byte: pairs, fours, the whole. */
static inline uint64_t wb_eight_digits(uint64_t digits)
{
    digits = digits * 10 + (digits >> 8);
    return ((digits & 0x000000FF000000FFu) * 0x000F424000000064u
            + (digits >> 16 & 0x000000FF000000FFu) * 0x0000271000000001u) >> 32;
}

/* How many bytes mean themselves in JSON text: no escape, no control character, nothing beyond ASCII. Of 16. */
static inline int wb_plain_run(const char *at)
{
    typedef unsigned char wb_bytes __attribute__((vector_size(16)));
    typedef unsigned long long wb_halves __attribute__((vector_size(16)));
    wb_bytes text;
    __builtin_memcpy(&text, at, 16);
    const wb_bytes special = (wb_bytes) ((text - ' ' > '~' - ' ') | (text == '"') | (text == '\\'));
    const wb_halves halves = (wb_halves) special;
    return halves[0] ? __builtin_ctzll(halves[0]) >> 3 : halves[1] ? 8 + (__builtin_ctzll(halves[1]) >> 3) : 16;
}

#endif
