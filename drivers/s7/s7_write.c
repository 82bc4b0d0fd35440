#include "s7_write.h"

size_t
s7_write_size(const struct s7_addr *addr)
{
    return sizeof(struct s7_write) + addr->bytes;
}

enum nx_err
s7_write_init(struct s7_write *wr, const struct s7_addr *addr, const struct nx_value *value, unsigned pdu,
              struct nx_note *why)
{
    bool is_bit = addr->type == S7_BOOL, is_counted = s7_area_is_counted(addr->area);
    unsigned skip, len;
    enum nx_err err = s7_value_encode(addr, value, wr->data, &skip, &len, why);

    if (err != NX_OK)
        return err;
    wr->whole = (struct s7_item){.area = addr->area,
                                 .bit = is_bit ? addr->bit : 0,
                                 .transport = is_bit ? S7_BITS : S7_BYTES,
                                 .db = addr->db,
                                 .start = addr->start + skip,
                                 .count = (uint16_t)(is_counted ? 1 : len)};
    wr->left = (uint16_t)len;
    wr->cap = (uint16_t)((pdu - S7_WRITE_BYTES) & ~1u);
    return NX_OK;
}

bool
s7_write_next(struct s7_write *wr, struct s7_item *item, struct slice *data)
{
    unsigned n = wr->left < wr->cap ? wr->left : wr->cap, at = wr->left - n;

    if (n == 0)
        return false;
    *item = wr->whole;
    if (wr->whole.count > n) {
        item->start += at;
        item->count = (uint16_t)n;
    }
    *data = slice(wr->data + at, n);
    wr->left = (uint16_t)at;
    return true;
}
