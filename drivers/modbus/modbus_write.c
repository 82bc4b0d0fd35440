#include "modbus_write.h"

#include "modbus_value.h"

static void
set_data(struct modbus_write *wr, enum modbus_fc fc, size_t len)
{
    wr->rq.fc = (uint8_t)fc;
    wr->rq.data = slice(wr->data, len);
}

static void
set_coil(struct modbus_write *wr, bool on, bool is_multiple_only)
{
    if (is_multiple_only) {
        wr->data[0] = on;
        set_data(wr, MODBUS_WRITE_COILS, 1);
        return;
    }
    wr->data[0] = on ? 0xFF : 0; /* AP 6.5: FF00 or 0000 */
    wr->data[1] = 0;
    set_data(wr, MODBUS_WRITE_COIL, 2);
}

/* AP 6.16: new = (old AND and_mask) OR (or_mask AND NOT and_mask). */
static void
set_register_bit(struct modbus_write *wr, const struct modbus_addr *addr, bool on)
{
    unsigned swap = addr->order & MODBUS_SWAP_BYTES ? 8u : 0u, bit = 1u << ((unsigned)addr->bit ^ swap);
    unsigned and_mask = ~bit & 0xFFFFu, or_mask = on ? bit : 0;

    wr->data[0] = (uint8_t)(and_mask >> 8);
    wr->data[1] = (uint8_t)and_mask;
    wr->data[2] = (uint8_t)(or_mask >> 8);
    wr->data[3] = (uint8_t)or_mask;
    set_data(wr, MODBUS_MASK_WRITE, 4);
}

static enum nx_err
init_bit(struct modbus_write *wr, const struct modbus_addr *addr, const struct nx_value *value, bool is_multiple_only,
         struct nx_note *why)
{
    bool on;
    enum nx_err err = modbus_value_bool(value, &on, why);

    if (err != NX_OK)
        return err;
    wr->rq.count = 1;
    if (addr->table == MODBUS_COIL)
        set_coil(wr, on, is_multiple_only);
    else
        set_register_bit(wr, addr, on);
    return NX_OK;
}

static enum modbus_fc
register_function(const struct modbus_addr *addr, bool is_multiple_only)
{
    if (addr->write_with == MODBUS_WRITE_READ)
        return MODBUS_READ_WRITE;
    return addr->count == 1 && !is_multiple_only ? MODBUS_WRITE_REGISTER : MODBUS_WRITE_REGISTERS;
}

enum nx_err
modbus_write_init(struct modbus_write *wr, const struct modbus_addr *addr, const struct nx_value *value,
                  bool is_multiple_only, struct nx_note *why)
{
    bool is_multiple = is_multiple_only || addr->write_with == MODBUS_WRITE_MULTIPLE;
    unsigned max = addr->write_with == MODBUS_WRITE_READ ? MODBUS_RW_REGS_MAX : MODBUS_WRITE_REGS_MAX;

    wr->rq = (struct modbus_request){.start = addr->start};
    if (addr->table == MODBUS_DISCRETE || addr->table == MODBUS_INPUT)
        return nx_fail(why, NX_E_DENIED, "%s:%u is in a read-only table: only coil and holding can be written",
                       modbus_table_name(addr->table), addr->start);
    if (addr->table == MODBUS_COIL || addr->bit != MODBUS_NO_BIT)
        return init_bit(wr, addr, value, is_multiple, why);
    if (addr->count > max)
        return nx_fail(why, NX_E_TOO_LARGE, "one write carries at most %u registers, this tag has %u", max,
                       addr->count);
    wr->rq.count = addr->count;
    set_data(wr, register_function(addr, is_multiple), addr->count * 2u);
    return modbus_value_encode(addr, value, wr->data, why);
}

enum nx_err
modbus_write_check(const struct modbus_request *rq, const struct modbus_reply *reply, struct nx_note *why)
{
    if (rq->fc != MODBUS_READ_WRITE || slice_eq(reply->data, rq->data))
        return NX_OK;
    return nx_fail(why, NX_E_DEVICE,
                   "holding:%u was written, but reads back differently: the device has changed or "
                   "refused the value",
                   rq->start);
}
