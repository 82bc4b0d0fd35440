/* calc_test.c -- calculated tags over one and several devices, without points. */
#include "gateway/calc.h"
#include "gateway/fake_slots.h"

#include "base/mem.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct {
    struct calc *calc;
    unsigned marks, results;
    char order[256];
} t;

/* As points.c does it. */
static void
set(struct slot *slot, struct nx_value v, uint16_t quality)
{
    slot->value = v;
    slot->quality = quality;
    slot->filter.has_sent = true;
    calc_touch(t.calc, slot);
}

static void
on_result(void *arg, struct slot *slot, const struct sample *s)
{
    (void)arg;
    t.results++;
    strcat(strcat(t.order, slot->tag->id), " ");
    bool is_same = slot->filter.has_sent && slot->quality == s->quality && value_eq(&slot->value, &s->value);
    free(slot->reason);
    slot->reason = s->reason ? mem_strdup(s->reason) : NULL;
    if (!is_same)
        set(slot, s->value, s->quality);
}

static void
on_mark(void *arg)
{
    (void)arg;
    t.marks++;
}

static int
setup(void **state)
{
    (void)state;
    memset(&t, 0, sizeof t);
    t.calc = calc_new(&(struct calc_ops){.on_result = on_result, .on_mark = on_mark}, NULL);
    return 0;
}

static int
teardown(void **state)
{
    (void)state;
    calc_free(&t.calc);
    return 0;
}

static struct nx_dev *
add(const char *json)
{
    struct nx_dev *dev = fake_slots_new(json, 0);

    calc_add_device(t.calc, dev);
    return dev;
}

static void
end(struct nx_dev *dev)
{
    calc_remove_device(t.calc, dev);
    fake_slots_free(&dev);
}

static void
a_change_runs_each_expression_once_in_order(void **state)
{
    struct nx_dev *d = add("{'id':'d','protocol':'fake','tags':["
                           "{'id':'sum','expression':'twice + a'},{'id':'top','expression':'sum + twice'},"
                           "{'id':'twice','expression':'a * 2'},{'id':'a','address':'0','data_type':'int16'},"
                           "{'id':'n','expression':'a + 0.6','data_type':'int16'}]}");

    (void)state;
    calc_run(t.calc);
    assert_int_equal(t.results, 0); /* a has no value yet */
    set(fake_slot(d, "a"), nx_value_int(3), NX_Q_GOOD);
    set(fake_slot(d, "a"), nx_value_int(5), NX_Q_GOOD);
    calc_run(t.calc);
    assert_int_equal(t.results, 4);
    assert_true(strstr(t.order, "twice ") < strstr(t.order, "sum ") &&
                strstr(t.order, "sum ") < strstr(t.order, "top "));
    assert_true(fake_slot(d, "top")->value.d == 25);
    assert_int_equal(fake_slot(d, "n")->value.i, 6);
    calc_run(t.calc);
    assert_int_equal(t.results, 4);
    end(d);
}

static void
quality_is_that_of_the_worst(void **state)
{
    struct nx_dev *d = add("{'id':'d','protocol':'fake','tags':[{'id':'s','expression':'a + b'},"
                           "{'id':'a','address':'0','data_type':'int16'},{'id':'b','address':'1','data_type':'int16'},"
                           "{'id':'e','expression':'iff(a > 1, a.x, a)'},{'id':'none','expression':'tonumber(`x`)'}]}");
    struct slot *s = fake_slot(d, "s");

    (void)state;
    set(fake_slot(d, "a"), nx_value_int(1), NX_Q_GOOD);
    set(fake_slot(d, "b"), nx_value_int(2), NX_Q_UNCERTAIN);
    calc_run(t.calc);
    assert_true(s->value.d == 3 && s->quality == NX_Q_UNCERTAIN);
    fake_slot(d, "b")->reason = mem_strdup("no answer");
    set(fake_slot(d, "b"), nx_value_none(), NX_Q_TIMEOUT);
    calc_run(t.calc);
    assert_true(s->value.type == NX_TYPE_NONE && s->quality == NX_Q_TIMEOUT);
    assert_string_equal(s->reason, "b: no answer");
    assert_true(nx_quality_is_bad(fake_slot(d, "e")->quality));
    assert_non_null(strstr(fake_slot(d, "e")->reason, "index a number"));
    assert_non_null(strstr(fake_slot(d, "none")->reason, "no result"));
    end(d);
}

static void
other_devices_come_and_go(void **state)
{
    struct nx_dev *d = add("{'id':'d','protocol':'fake','tags':[{'id':'s','expression':'tag(`e/x`) * 2'}]}");
    struct slot *s = fake_slot(d, "s");

    (void)state;
    calc_run(t.calc);
    assert_int_equal(s->quality, NX_Q_CONFIG_ERROR);
    assert_non_null(strstr(s->reason, "e/x"));
    struct nx_dev *e = add("{'id':'e','protocol':'fake','tags':[{'id':'x','address':'0','data_type':'int16'}]}");
    set(fake_slot(e, "x"), nx_value_int(4), NX_Q_GOOD);
    calc_run(t.calc);
    assert_true(s->value.d == 8 && s->quality == NX_Q_GOOD);
    end(e);
    calc_run(t.calc);
    assert_int_equal(s->quality, NX_Q_CONFIG_ERROR);
    e = add("{'id':'e','protocol':'fake','tags':[{'id':'x','address':'0','data_type':'int16'}]}");
    set(fake_slot(e, "x"), nx_value_int(5), NX_Q_GOOD);
    calc_run(t.calc);
    assert_true(s->value.d == 10);
    end(d);
    set(fake_slot(e, "x"), nx_value_int(6), NX_Q_GOOD); /* nobody reads it any more */
    calc_run(t.calc);
    end(e);
}

static void
circles_over_devices_are_named(void **state)
{
    struct nx_dev *d = add("{'id':'d','protocol':'fake','tags':[{'id':'s','expression':'tag(`e/x`) * 2'}]}");
    struct nx_dev *e = add("{'id':'e','protocol':'fake','tags':[{'id':'x','expression':'tag(`d/s`) + 1'}]}");

    (void)state;
    calc_run(t.calc);
    assert_int_equal(fake_slot(d, "s")->quality, NX_Q_CONFIG_ERROR);
    assert_non_null(strstr(fake_slot(d, "s")->reason, "d/s -> e/x -> d/s need each other"));
    assert_int_equal(fake_slot(e, "x")->quality, NX_Q_CONFIG_ERROR);
    end(e);
    e = add("{'id':'e','protocol':'fake','tags':[{'id':'x','expression':'7'}]}");
    calc_run(t.calc);
    assert_true(fake_slot(d, "s")->value.d == 14 && fake_slot(d, "s")->quality == NX_Q_GOOD);
    end(d);
    end(e);
}

static void
own_values_pass_through_their_expression(void **state)
{
    struct nx_dev *d = add("{'id':'d','protocol':'fake','tags':["
                           "{'id':'a','address':'0','data_type':'uint16','expression':'value * 0.5 + 1'},"
                           "{'id':'b','address':'0','data_type':'bool','expression':'not value'},"
                           "{'id':'c','address':'0','data_type':'string','expression':'value + 1'}]}");
    struct nx_value v = nx_value_uint(4);
    uint16_t quality = NX_Q_GOOD;

    (void)state;
    assert_null(calc_apply(t.calc, fake_slot(d, "a"), &v, &quality));
    assert_true(v.type == NX_TYPE_DOUBLE && v.d == 3);
    v = nx_value_bool(true);
    assert_null(calc_apply(t.calc, fake_slot(d, "b"), &v, &quality));
    assert_true(v.type == NX_TYPE_BOOL && !v.b);
    v = nx_value_string("x", 1);
    assert_non_null(calc_apply(t.calc, fake_slot(d, "c"), &v, &quality));
    assert_true(v.type == NX_TYPE_NONE && nx_quality_is_bad(quality));
    end(d);
}

int
main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(a_change_runs_each_expression_once_in_order),
        TEST(quality_is_that_of_the_worst),
        TEST(other_devices_come_and_go),
        TEST(circles_over_devices_are_named),
        TEST(own_values_pass_through_their_expression),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
