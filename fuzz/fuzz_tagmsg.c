/* fuzz: model base */
/* Tag messages from anywhere, JSON or MessagePack, one or several: what is accepted can be written in every format and
 * is read again as the same. */
#include "must.h"

#include "model/tagmsg.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t len);

/* Written towards the past in ms. 0 means no time, and times before 1980 are not read back as numbers. */
static bool
is_time_kept(int64_t us)
{
    return us == 0 || (us >= 315532800 * INT64_C(1000000) && us < 7258118400 * INT64_C(1000000));
}

static void
check_times(const struct tagmsg *msg, const struct tagmsg *back)
{
    MUST(back->time_us == msg->time_us / 1000 * 1000);
    MUST(back->source_us == msg->source_us / 1000 * 1000);
}

/* JSON writes 1.0 as 1, so a number may come back as another type of the same size. */
static void
check_value(const struct tagmsg *msg, const struct tagmsg *back, enum tagmsg_format format)
{
    double a, b;

    if (format == TAGMSG_MSGPACK || !value_as_double(&msg->value, &a))
        MUST(value_eq(&msg->value, &back->value));
    else
        MUST(value_as_double(&back->value, &b) && a == b);
}

static void
check_round(const struct tagmsg *msg, enum tagmsg_format format)
{
    struct wbuf scratch = wbuf_init(0), text = wbuf_init(0);
    struct tagmsg back;

    tagmsg_encode(&text, format, msg);
    if (text.len <= 65536) { /* escapes may have made it longer than what is read */
        MUST(tagmsg_decode(wbuf_slice_of(&text), &scratch, &back, NULL) == NX_OK);
        check_times(msg, &back);
        MUST(nx_quality_is_bad(msg->quality) == nx_quality_is_bad(back.quality));
        MUST(format == TAGMSG_JSON || msg->quality == back.quality);
        MUST(slice_eq(msg->unit, back.unit) && slice_eq(msg->error, back.error));
        MUST(msg->has_seq == back.has_seq && msg->seq == back.seq);
        if (!nx_quality_is_bad(msg->quality))
            check_value(msg, &back, format);
    }
    wbuf_free(&scratch);
    wbuf_free(&text);
}

int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t len)
{
    static const char *const content_types[] = {"", "", "application/json", "application/msgpack"};
    const char *content_type = content_types[len ? p[len - 1] % 4 : 0];
    struct wbuf scratch = wbuf_init(0);
    struct tagmsg_list list = {0};
    struct tagmsg one;

    if (tagmsg_decode_list(slice(p, len), slice_str(content_type), &scratch, &list, NULL) == NX_OK) {
        MUST(list.count > 0);
        for (size_t i = 0; i < list.count; i++) {
            if (!is_time_kept(list.items[i].time_us) || !is_time_kept(list.items[i].source_us))
                continue;
            check_round(&list.items[i], TAGMSG_JSON);
            check_round(&list.items[i], TAGMSG_COMPACT);
            check_round(&list.items[i], TAGMSG_MSGPACK);
        }
    }
    if (tagmsg_decode(slice(p, len), &scratch, &one, NULL) == NX_OK && is_time_kept(one.time_us) &&
        is_time_kept(one.source_us))
        check_round(&one, TAGMSG_MSGPACK);
    tagmsg_list_free(&list);
    wbuf_free(&scratch);
    return 0;
}
