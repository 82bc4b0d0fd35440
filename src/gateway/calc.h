/* calc.h -- calculated tags: expressions that are evaluated when what they read has changed.
 *
 * An expression beside an address works on the tag's own value, within points_take(). One without an address reads
 * other tags, also of other devices; a change marks it, and calc_run() evaluates what is marked, each once, those first
 * that others need. Its quality is the worst of what it reads; an error of Lua makes it bad with Lua's words. Names
 * that no device of this gateway has (yet) make it bad with config_error; circles over devices as well. Before the
 * first value of all that it reads it says nothing. One loop thread; all devices of one calc are on it. */
#ifndef GATEWAY_CALC_H
#define GATEWAY_CALC_H

#include "gateway/engine.h"

struct calc;
struct calc_ops {
    void (*on_result)(void *arg, struct slot *slot, const struct sample *s);
    void (*on_mark)(void *arg); /* something is to be calculated: calc_run() soon */
};

struct calc *calc_new(const struct calc_ops *ops, void *arg);
void calc_free(struct calc **c);
/* The device's slots exist; before its first value. */
void calc_add_device(struct calc *c, struct nx_dev *dev);
/* Before its slots go. */
void calc_remove_device(struct calc *c, struct nx_dev *dev);

/* The slot has another value: marks what reads it. */
void calc_touch(struct calc *c, const struct slot *slot);
/* Evaluates what is marked; results go to on_result(), which may touch further slots. Not from inside on_result(). */
void calc_run(struct calc *c);
/* The expression of a tag with an address: value in place. The answer is why it became bad, or NULL; borrowed until the
 * next call. */
const char *calc_apply(struct calc *c, const struct slot *slot, struct nx_value *value, uint16_t *quality);
uint64_t calc_evaluations(const struct calc *c);

#endif
