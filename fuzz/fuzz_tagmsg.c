/* fuzz: model base */
/* A tag message from anywhere: what is accepted can be written and read again with the same value. */
#include "model/tagmsg.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t len);

int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t len)
{
    struct wbuf scratch = wbuf_init(0), scratch2 = wbuf_init(0), text = wbuf_init(0);
    struct tagmsg msg, back;

    if (tagmsg_decode(slice(p, len), &scratch, &msg, NULL) == NX_OK) {
        tagmsg_encode(&text, TAGMSG_COMPACT, &msg);
        enum nx_err err = tagmsg_decode(wbuf_slice_of(&text), &scratch2, &back, NULL);

        /* Times before 1980 and payloads that escapes made longer than the limit are written and not read again. */
        if (err == NX_OK && !nx_quality_is_bad(msg.quality) && msg.value.type == NX_TYPE_STRING &&
            !value_eq(&msg.value, &back.value))
            abort();
    }
    wbuf_free(&scratch);
    wbuf_free(&scratch2);
    wbuf_free(&text);
    return 0;
}
