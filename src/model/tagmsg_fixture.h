/* tagmsg_fixture.h -- what the tests of tag messages read into and write to. */
#ifndef MODEL_TAGMSG_FIXTURE_H
#define MODEL_TAGMSG_FIXTURE_H

#include "base/mem.h"
#include "model/tagmsg.h"

#include <stdlib.h>

static struct {
    struct wbuf scratch, text;
    struct tagmsg msg;
    struct tagmsg_list list;
    struct nx_note why;
    uint8_t *copy; /* the payload */
} fx;

static int
setup(void **state)
{
    (void)state;
    fx.scratch = wbuf_init(0);
    fx.text = wbuf_init(0);
    return 0;
}

static int
teardown(void **state)
{
    (void)state;
    wbuf_free(&fx.scratch);
    wbuf_free(&fx.text);
    tagmsg_list_free(&fx.list);
    free(fx.copy);
    return 0;
}

/* The payload in an exact allocation until the next one, so that a read past its end is seen. */
static struct slice
payload(const void *p, size_t len)
{
    free(fx.copy);
    fx.copy = mem_alloc(len ? len : 1);
    memcpy(fx.copy, p, len);
    fx.why = (struct nx_note){0};
    return slice(fx.copy, len);
}

#endif
