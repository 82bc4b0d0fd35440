/* power_test.c -- a long random life of a spool, then a power cut behind each single operation on the disk, with all
 * that was not synced lost, kept, or kept in parts: what comes back must keep the promises of spool.h. */
#include "base/mem.h"
#include "base/num.h"
#include "spool/fake_disk.h"
#include "spool/spool.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define NUMBERS   (4u << 10) /* of a life; those behind a power cut's jump are not needed */
#define WINDOW_MS 100u
#define NEVER     SIZE_MAX

/* What is known about a number, as operations of the disk: when its append began and had returned, when it was given
 * back or dropped. */
struct fate {
    size_t begun, stored, gone;
    uint64_t stored_ms;
    bool is_tried; /* an append with this number has failed: it may or may not be there */
};

static struct {
    struct loop *loop;
    struct fake_disk *disk;
    struct spool *sp;
    struct spool_conf conf;
    uint64_t seed, next_seq, epoch;
    struct fate fates[NUMBERS];
} life;

/* Of all lives: what the tests rely on has happened. */
static struct {
    unsigned reopened, killed, dropped, failed;
} seen;

static uint64_t
now_ms(void)
{
    return loop_now_ms(life.loop);
}

static unsigned
below(unsigned n)
{
    return (unsigned)(num_random(&life.seed) % n);
}

static size_t
body_of(uint64_t seq, uint8_t *out)
{
    size_t len = 20 + (seq * 137) % 700;

    memset(out, 'a' + (int)(seq % 26), len);
    memcpy(out, &seq, sizeof seq);
    return len;
}

static void
on_life_drop(void *arg, uint64_t from, uint64_t to, uint64_t points, enum nx_err cause)
{
    (void)arg;
    (void)points;
    if (cause != NX_E_FULL && cause != NX_E_EXPIRED)
        fail_msg("%llu to %llu dropped: %s", (unsigned long long)from, (unsigned long long)to, nx_err_name(cause));
    for (uint64_t seq = from; seq <= to; seq++) {
        if (life.fates[seq].gone == NEVER) /* else it was freed, and kill -9 has brought it back */
            life.fates[seq].gone = fake_disk_op_count(life.disk);
        seen.dropped++;
    }
}

static void
open_life(void)
{
    static const struct spool_ops ops = {.on_drop = on_life_drop};
    struct nx_note why = {0};

    if (spool_open(&life.sp, life.loop, &life.conf, &ops, NULL, &why) != NX_OK)
        fail_msg("%s", why.text);
    assert_true(spool_next_seq(life.sp) >= life.next_seq);
    life.next_seq = spool_next_seq(life.sp);
    life.epoch = spool_epoch(life.sp);
}

static bool
append_one(void)
{
    uint8_t body[800];
    uint64_t seq = spool_next_seq(life.sp);
    size_t len = body_of(seq, body), begun = fake_disk_op_count(life.disk);
    struct fate *fate = &life.fates[seq];

    assert_true(seq < NUMBERS);
    if (fate->begun == NEVER)
        fate->begun = begun;
    if (spool_append(life.sp, slice(body, len), 10, NULL) != NX_OK) {
        fate->is_tried = true;
        seen.failed++;
        return false;
    }
    fate->stored = fake_disk_op_count(life.disk);
    fate->stored_ms = now_ms();
    life.next_seq = seq + 1;
    return true;
}

static void
free_some(void)
{
    uint64_t from = below(3) ? 1 : 1 + below((unsigned)life.next_seq), to = from + below((unsigned)life.next_seq);

    for (uint64_t seq = from; seq <= to && seq < life.next_seq; seq++)
        if (life.fates[seq].gone == NEVER)
            life.fates[seq].gone = fake_disk_op_count(life.disk);
    spool_free_range(life.sp, from, to);
}

static void
pass_time(unsigned ms)
{
    for (unsigned i = 0; i < ms; i += 10) {
        loop_fake_advance_ms(life.loop, 10);
        loop_fake_turn(life.loop);
    }
}

static void
reopen(bool is_killed)
{
    fake_disk_faults_of(life.disk)->is_dead = is_killed;
    spool_close(&life.sp);
    fake_disk_faults_of(life.disk)->is_dead = false;
    loop_fake_turn(life.loop);
    seen.killed += is_killed;
    seen.reopened += !is_killed;
    open_life();
}

/* A disk that fails now and then; what was reported as stored before is not touched by it. */
static void
suffer(void)
{
    struct fake_disk_faults *faults = fake_disk_faults_of(life.disk);

    if (below(2))
        faults->write_error = -ENOSPC;
    else
        faults->sync_error = -EIO;
    (void)append_one();
    *faults = (struct fake_disk_faults){0};
}

static void
live(unsigned steps)
{
    (void)append_one(); /* a start that finds no segment is another test */
    for (unsigned i = 0; i < steps; i++) {
        unsigned what = below(100);

        if (i % 40 == 30)
            reopen(i / 40 % 2);
        else if (what < 62)
            for (unsigned n = 1 + below(5); n > 0; n--)
                (void)append_one();
        else if (what < 72)
            free_some();
        else if (what < 91)
            pass_time(10 + below(20) * 10);
        else if (what < 95)
            reopen(what % 2);
        else if (life.conf.is_strict)
            suffer();
    }
    loop_fake_turn(life.loop);
}

/* --- afterwards --- */

static struct {
    bool has[NUMBERS], is_declared[NUMBERS], has_damage;
    struct spool *sp;
} after;

static void
on_drop_after(void *arg, uint64_t from, uint64_t to, uint64_t points, enum nx_err cause)
{
    (void)arg;
    (void)points;
    assert_true(from <= to);
    after.has_damage |= cause != NX_E_CANCELED && cause != NX_E_FULL;
    for (uint64_t seq = from; seq <= to && seq < NUMBERS; seq++)
        after.is_declared[seq] = true;
}

static void
open_after(void)
{
    static const struct spool_ops ops = {.on_drop = on_drop_after};
    struct nx_note why = {0};

    if (spool_open(&after.sp, life.loop, &life.conf, &ops, NULL, &why) != NX_OK)
        fail_msg("%s", why.text);
}

static void
read_all(void)
{
    struct spool_record rec;
    uint8_t body[800];

    memset(after.has, 0, sizeof after.has);
    for (uint64_t seq = 1; spool_read(after.sp, seq, &rec, NULL) == NX_OK && rec.seq < NUMBERS; seq = rec.seq + 1) {
        assert_true(rec.seq >= seq);
        assert_true(slice_eq(rec.body, slice(body, body_of(rec.seq, body))));
        assert_int_equal(rec.points, 10);
        after.has[rec.seq] = true;
    }
}

static bool
must_be_there(const struct fate *fate, const struct fake_disk_cut *cut, uint64_t cut_ms)
{
    if (fate->stored == NEVER || fate->stored > cut->ops || fate->gone <= cut->ops)
        return false;
    return life.conf.is_strict || !cut->is_reboot || fate->stored_ms + WINDOW_MS < cut_ms;
}

static void
expect(bool holds, const struct fake_disk_cut *cut, uint64_t seq, const char *what)
{
    if (!holds)
        fail_msg("cut at %zu of %zu (data %d, names %d, reboot %d, seed %llu): number %llu %s", cut->ops,
                 fake_disk_op_count(life.disk), cut->data, cut->names, cut->is_reboot, (unsigned long long)cut->seed,
                 (unsigned long long)seq, what);
}

static void
check(const struct fake_disk_cut *cut)
{
    uint64_t cut_ms = fake_disk_op_ms(life.disk, cut->ops), next = spool_next_seq(after.sp);

    expect(!after.has_damage, cut, 0, "(any) is taken for damaged: it was only cut off");
    for (uint64_t seq = 1; seq < NUMBERS; seq++) {
        const struct fate *fate = &life.fates[seq];
        bool is_used = fate->stored != NEVER && fate->stored <= cut->ops, has = after.has[seq];
        bool is_declared = after.is_declared[seq];

        expect(!has || (fate->begun != NEVER && fate->begun <= cut->ops), cut, seq, "is invented");
        expect(has || !must_be_there(fate, cut, cut_ms), cut, seq, "is lost");
        expect(!is_used || seq < next, cut, seq, "would be used again");
        expect(!is_used || has || fate->gone <= cut->ops || is_declared, cut, seq, "is lost and not declared");
        expect(!has || !is_declared, cut, seq, "is there and declared as lost");
    }
}

/* What was recovered stays so, and the spool works on. */
static void
go_on(void)
{
    static bool had[NUMBERS];
    uint64_t next = spool_next_seq(after.sp);

    for (int i = 0; i < 3; i++)
        assert_int_equal(spool_append(after.sp, slice_str("after"), 1, NULL), NX_OK);
    for (uint64_t seq = 0; seq < NUMBERS; seq++)
        had[seq] = after.has[seq] && !after.is_declared[seq]; /* the bound may have taken the oldest */
    spool_close(&after.sp);
    open_after();
    assert_int_equal(spool_next_seq(after.sp), next + 3);
    read_all();
    assert_memory_equal(had, after.has, sizeof had);
}

static void
close_after(struct fake_disk **d)
{
    if (after.sp)
        spool_close(&after.sp);
    loop_fake_turn(life.loop);
    fake_disk_free(d);
    fake_disk_use(life.disk);
}

static void
cut_once(const struct fake_disk_cut *cut, bool goes_on)
{
    struct fake_disk *d = fake_disk_cut(life.disk, cut);

    memset(&after, 0, sizeof after);
    open_after();
    if (life.epoch != spool_epoch(after.sp)) /* before the first synced state */
        for (uint64_t seq = 1; seq < NUMBERS; seq++)
            assert_true(life.fates[seq].stored == NEVER || life.fates[seq].stored > cut->ops);
    read_all();
    check(cut);
    if (goes_on && spool_next_seq(after.sp) >= NUMBERS)
        go_on();
    close_after(&d);
}

/* A second end while the first recovery is at work, by the power or by kill -9. What the first one has declared counts:
 * a gap record of it is as safe as any other record. */
static void
cut_twice(const struct fake_disk_cut *cut, bool is_reboot)
{
    struct fake_disk *first = fake_disk_cut(life.disk, cut), *second;
    size_t before = fake_disk_op_count(first);
    enum fake_disk_fate fate = is_reboot ? FATE_RANDOM : FATE_KEPT;

    memset(&after, 0, sizeof after);
    open_after();
    size_t ops = before + num_random(&life.seed) % (fake_disk_op_count(first) - before + 1);
    fake_disk_faults_of(first)->is_dead = true;
    spool_close(&after.sp);
    loop_fake_turn(life.loop);
    second = fake_disk_cut(first, &(struct fake_disk_cut){ops, fate, fate, false, is_reboot, cut->seed});
    open_after();
    read_all();
    check(cut);
    close_after(&second);
    fake_disk_free(&first);
}

static void
cut_everywhere(void)
{
    for (size_t ops = 0; ops <= fake_disk_op_count(life.disk); ops++) {
        cut_once(&(struct fake_disk_cut){.ops = ops}, false);
        for (unsigned how = 0; how < 4; how++) {
            struct fake_disk_cut cut = {.ops = ops,
                                        .data = how & 1 ? FATE_LOST : FATE_KEPT,
                                        .names = how & 2 ? FATE_LOST : FATE_KEPT,
                                        .is_last_torn = how == 0,
                                        .is_reboot = true,
                                        .seed = ops};
            cut_once(&cut, ops % 8 == how);
        }
        for (unsigned i = 0; i < 3; i++)
            cut_once(&(struct fake_disk_cut){.ops = ops,
                                             .data = FATE_RANDOM,
                                             .names = FATE_RANDOM,
                                             .is_reboot = true,
                                             .seed = ops * 7 + i},
                     false);
        for (unsigned is_reboot = 0; is_reboot < 2; is_reboot++)
            cut_twice(&(struct fake_disk_cut){ops, FATE_RANDOM, FATE_RANDOM, false, true, ops}, is_reboot);
    }
}

/* --- lives --- */

static void
begin(uint64_t seed)
{
    memset(&life, 0, sizeof life);
    life.seed = seed;
    life.loop = loop_fake_new();
    loop_fake_set_wall_us(life.loop, 1700000000000000);
    life.disk = fake_disk_new(now_ms);
    fake_disk_use(life.disk);
    life.conf = (struct spool_conf){.dir = "spool",
                                    .cap_bytes = 40 << 10,
                                    .segment_bytes = 4 << 10,
                                    .disk_reserve_bytes = 1,
                                    .disk = &fake_disk_ops};
    for (uint64_t seq = 0; seq < NUMBERS; seq++)
        life.fates[seq] = (struct fate){.begun = NEVER, .stored = NEVER, .gone = NEVER};
}

static void
end(void)
{
    spool_close(&life.sp);
    loop_fake_turn(life.loop);
    fake_disk_free(&life.disk);
    loop_free(&life.loop);
}

static uint64_t
seed_of(void)
{
    const char *text = getenv("NEXUS_SEED");

    return text ? strtoull(text, NULL, 10) : 20;
}

static unsigned
rounds_of(unsigned brief)
{
    const char *text = getenv("NEXUS_ROUNDS");

    return text ? (unsigned)strtoul(text, NULL, 10) : brief;
}

static void
power_is_cut_behind_every_operation(void **state)
{
    (void)state;
    for (unsigned i = 0; i < rounds_of(1); i++) {
        begin(seed_of() + i);
        open_life();
        live(120);
        cut_everywhere();
        end();
    }
    print_message("%u dropped, %u times closed, %u times killed\n", seen.dropped, seen.reopened, seen.killed);
    assert_true(seen.killed > 0 && seen.reopened > 0);
    assert_true(seen.dropped > 0 || getenv("NEXUS_SEED"));
}

static void
strict_keeps_every_record(void **state)
{
    (void)state;
    for (unsigned i = 0; i < rounds_of(1); i++) {
        begin(seed_of() + 100 + i);
        life.conf.is_strict = true;
        open_life();
        live(60);
        cut_everywhere();
        end();
    }
    assert_true(seen.failed > 0 || getenv("NEXUS_SEED"));
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(power_is_cut_behind_every_operation),
        cmocka_unit_test(strict_keeps_every_record),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
