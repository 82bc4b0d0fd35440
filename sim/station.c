#include "sim/station.h"

#include "sim/bytes.h"
#include "sim/pdu.h"

#include <string.h>

#define MBAP     7u
#define CRC      2u
#define RTU_MAX  256u
#define TCP_ONLY FAULT_BIT(WRONG_TID)
#define RTU_ONLY FAULT_BIT(BAD_CRC)

/* --- frames --- */

/* CRC-16 of the serial line guide 1.02, 6.2.2. */
static unsigned
crc16(const uint8_t *p, size_t len)
{
    unsigned crc = 0xFFFF;

    for (size_t i = 0; i < len; i++) {
        crc ^= p[i];
        for (int bit = 0; bit < 8; bit++)
            crc = crc & 1 ? crc >> 1 ^ 0xA001 : crc >> 1;
    }
    return crc;
}

static int
tcp_length(const uint8_t *in, size_t len)
{
    if (len < 8)
        return 0;
    unsigned n = 6u + get16(in + 4);
    if (get16(in + 2) != 0 || n < 8 || n > STATION_FRAME_MAX)
        return -1;
    return len < n ? 0 : (int)n;
}

/* RTU frames have no length: the function code tells it. */
static int
rtu_length(const uint8_t *in, size_t len)
{
    size_t n;

    if (len < 2)
        return 0;
    switch (in[1]) {
    case 15:
    case 16:
        n = len < 7 ? 0 : 9u + in[6];
        break;
    case 22:
        n = 10;
        break;
    case 23:
        n = len < 11 ? 0 : 13u + in[10];
        break;
    default:
        n = 8;
    }
    if (n > RTU_MAX)
        return -1;
    return n == 0 || len < n ? 0 : (int)n;
}

int
station_frame_length(const struct station *s, const uint8_t *in, size_t len)
{
    return s->framing == FRAMING_TCP ? tcp_length(in, len) : rtu_length(in, len);
}

/* --- replies --- */

/* In front of the PDU at out + MBAP. */
static size_t
wrap_tcp(const uint8_t *in, size_t pdu_len, uint8_t *out, enum fault fault)
{
    put16(out, fault == FAULT_WRONG_TID ? get16(in) + 0x1234 : get16(in));
    put16(out + 2, 0);
    put16(out + 4, (unsigned)pdu_len + 1);
    out[6] = in[6];
    return MBAP + pdu_len;
}

/* Around the PDU at out + 1. */
static size_t
wrap_rtu(const uint8_t *in, size_t pdu_len, uint8_t *out)
{
    out[0] = in[0];
    return 1 + pdu_len;
}

static size_t
add_crc(uint8_t *out, size_t len, enum fault fault)
{
    unsigned crc = crc16(out, len) ^ (fault == FAULT_BAD_CRC ? 0x0100 : 0);

    out[len] = (uint8_t)crc;
    out[len + 1] = (uint8_t)(crc >> 8);
    return len + CRC;
}

static size_t
spoil_pdu(struct faults *f, enum fault fault, uint8_t *pdu, size_t len)
{
    switch (fault) {
    case FAULT_WRONG_FC:
        pdu[0] = pdu[0] == 3 ? 4 : 3;
        return len;
    case FAULT_WRONG_COUNT:
        pdu[1] = (uint8_t)(pdu[1] + 2);
        return len;
    case FAULT_STORM:
        return pdu_refuse(pdu[0], 1 + faults_random(f, 6), pdu);
    case FAULT_BUSY:
        return pdu_refuse(pdu[0], EX_BUSY, pdu);
    default:
        return len;
    }
}

static struct memory *
memory_of(const struct station *s, unsigned unit)
{
    if (s->memory_count == 1)
        return &s->memories[0];
    return unit >= 1 && unit <= s->memory_count ? &s->memories[unit - 1] : NULL;
}

static void
broadcast(struct station *s, const uint8_t *pdu, size_t len)
{
    uint8_t ignored[PDU_MAX];

    for (unsigned i = 0; i < s->memory_count; i++)
        (void)pdu_answer(s->faults, &s->memories[i], pdu, len, ignored);
}

static bool
is_for_nobody(const struct station *s, const uint8_t *in, size_t len)
{
    unsigned unit = s->framing == FRAMING_TCP ? in[6] : in[0];

    if (faults_unit_is_dead(s->faults, unit))
        return true;
    if (s->framing == FRAMING_TCP)
        return false;
    unsigned crc = (unsigned)in[len - 1] << 8 | in[len - 2];
    return crc != crc16(in, len - CRC) || (unit != 0 && !memory_of(s, unit));
}

static size_t
answer_pdu(struct station *s, unsigned unit, const uint8_t *pdu, size_t len, uint8_t *out)
{
    struct memory *m = memory_of(s, unit);

    return m ? pdu_answer(s->faults, m, pdu, len, out) : pdu_refuse(pdu[0], EX_TARGET, out);
}

size_t
station_answer(struct station *s, const uint8_t *in, size_t len, uint8_t out[STATION_FRAME_MAX], enum fault *fault)
{
    bool is_tcp = s->framing == FRAMING_TCP;
    size_t head = is_tcp ? MBAP : 1, tail = is_tcp ? 0 : CRC, n;

    *fault = FAULT_NONE;
    s->requests++;
    if (is_for_nobody(s, in, len))
        return 0;
    if (!is_tcp && in[0] == 0) {
        broadcast(s, in + head, len - head - tail);
        return 0;
    }
    n = answer_pdu(s, in[head - 1], in + head, len - head - tail, out + head);
    *fault = faults_draw(s->faults, ~(is_tcp ? RTU_ONLY : TCP_ONLY));
    n = spoil_pdu(s->faults, *fault, out + head, n);
    n = is_tcp ? wrap_tcp(in, n, out, *fault) : wrap_rtu(in, n, out);
    if (*fault == FAULT_WRONG_UNIT)
        out[head - 1] ^= 0x15;
    return is_tcp ? n : add_crc(out, n, *fault);
}
