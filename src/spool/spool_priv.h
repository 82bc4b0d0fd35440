/* spool_priv.h -- the inside of a spool: segments, what is freed, what is on the disk for sure. */
#ifndef SPOOL_SPOOL_PRIV_H
#define SPOOL_SPOOL_PRIV_H

#include "spool/disk.h"
#include "spool/ranges.h"
#include "spool/spool.h"

#define SPOOL_RECORD_MAX   (16u << 20)
#define SPOOL_SEGMENT_HEAD 40u /* magic, version, epoch, first number, end of the one before, CRC */
#define SPOOL_RECORD_HEAD  32u /* length, CRC, number, points, zero, time */
#define SPOOL_RESERVE      65536u
#define SPOOL_READ_AHEAD   (256u << 10)
#define SPOOL_UNREAD_MS    60000u /* so long a record that the disk refuses holds up the others */

/* One record of a segment, in memory: 8 bytes a record, whatever its size. */
struct spool_slot {
    uint32_t offset, points;
};

struct segment {
    struct segment *next; /* newer */
    char *path;
    int fd;
    uint64_t first_seq, next_seq;
    uint64_t used, size; /* bytes of records; of the file */
    uint64_t waiting;    /* records not freed */
    int64_t last_us;     /* append time of the newest record */
    struct spool_slot *slots;
    size_t slot_cap;
    uint64_t synced_seq;  /* records below are on the disk */
    bool is_dir_synced;   /* so is the name of the file */
    bool has_sync_failed; /* what is not synced yet may be lost: nothing more is written here */
};

struct sync_job;

struct spool {
    struct loop *loop;
    const struct disk_ops *disk;
    struct spool_conf conf; /* dir is a copy, zeros are replaced */
    struct spool_ops ops;
    void *arg;
    int lock_fd;
    uint64_t epoch;
    uint64_t next_seq, reserved_seq; /* numbers below reserved_seq may be used without touching the state file */

    uint64_t cut_seq; /* numbers below were given before the last power cut: what is missing among them is no damage */

    struct segment *oldest, *newest; /* newest takes the records; NULL when one must be opened first */
    uint64_t file_bytes;
    struct ranges freed; /* of the numbers from oldest->first_seq on */
    struct spool_stats stats;

    int hint_fd;
    bool is_hint_stale;
    struct loop_timer timer, hint_timer;
    uint64_t mark_seq,
        due_seq; /* next_seq at the last tick and at the one before it: records below due_seq have waited */
    struct sync_job *job;

    uint64_t oldest_seq; /* the oldest waiting record when it was last looked for, and its time; 0: not known */
    int64_t oldest_us;

    struct {
        uint64_t seq, since_ms; /* seq 0: free */
    } unread[8];                /* records that the disk refuses; several readers may be at several of them */

    struct segment *read_segment; /* the bytes in read_buf are of this one */
    uint64_t read_from, read_len;
    uint8_t *read_buf;
    size_t read_cap;
};

/* --- segment.c --- */
/* Opens the segment that begins with next_seq and makes it the newest. */
NX_MUST_CHECK enum nx_err segment_create(struct spool *sp, uint64_t size, struct nx_note *why);
/* A segment object for an existing file, linked as the newest. */
struct segment *segment_link(struct spool *sp, const char *path, int fd, uint64_t first_seq);
/* Gives back the room that a segment did not use; nothing more is written to it. */
void segment_seal(struct spool *sp, struct segment *sg);
void segment_push_slot(struct segment *sg, uint64_t offset, uint32_t points);
/* Takes back the records from seq on, none of them freed: the segment behind has others with their numbers, because the
 * append of these had failed. */
void segment_cut(struct spool *sp, struct segment *sg, uint64_t seq);
/* Reads at least min (less only at the end of the file) and at most want bytes; a count or -errno. */
int64_t segment_read(const struct spool *sp, int fd, uint8_t *buf, uint64_t min, uint64_t want, uint64_t at);
NX_MUST_CHECK enum nx_err segment_write(struct spool *sp, struct segment *sg, struct slice body, uint32_t points,
                                        int64_t now_us, struct nx_note *why);
/* Unlinks the oldest file and forgets it. */
void segment_remove_oldest(struct spool *sp);
void segment_close_all(struct spool *sp);
struct segment *segment_of(const struct spool *sp, uint64_t seq);

struct segment_head {
    uint64_t epoch, first_seq;
    uint64_t before_seq; /* next_seq of the segment before, or first_seq: numbers from here on were never used */
};
struct record_head {
    uint32_t len, crc, points;
    uint64_t seq;
    int64_t time_us;
};
bool segment_head_decode(const uint8_t p[SPOOL_SEGMENT_HEAD], struct segment_head *out);
void record_head_decode(const uint8_t p[SPOOL_RECORD_HEAD], struct record_head *out);
/* CRC of a record: its head behind the CRC, then the body. */
uint32_t record_crc(const uint8_t head[SPOOL_RECORD_HEAD], struct slice body);

/* --- recover.c --- */
/* Finds the segments, cuts the torn tail, sets next_seq. Epoch 0: none was found. What the disk cannot read is left as
 * it is, declared as dropped and reported. */
NX_MUST_CHECK enum nx_err spool_recover(struct spool *sp, struct nx_note *why);

/* --- state.c --- */
struct spool_state {
    uint64_t epoch, reserved_seq, next_seq;
    uint64_t cut_seq;
    bool is_clean, is_same_boot;
};
/* false: there is none that can be read. */
bool state_load(struct spool *sp, struct spool_state *out);
/* Replaces the state file and syncs it. */
NX_MUST_CHECK enum nx_err state_save(struct spool *sp, bool is_clean, struct nx_note *why);
/* What was freed, as a hint: a lost one costs a replay. */
void state_load_freed(struct spool *sp);
void state_save_freed(struct spool *sp);

/* --- sync.c --- */
void sync_start(struct spool *sp);
/* Stops the timer; a sync under way ends on its own. */
void sync_stop(struct spool *sp);
void sync_all_now(struct spool *sp);
/* After a sync that failed: nothing more is written to the segment. */
void sync_failed(struct spool *sp, struct segment *sg, int os_errno);

/* --- spool.c --- */
/* Counts and reports the waiting records of [from, to], then takes them as freed. */
void spool_drop(struct spool *sp, uint64_t from, uint64_t to, enum nx_err cause);
void spool_report(struct spool *sp, const struct nx_note *note);
enum nx_err spool_fail(struct nx_note *why, const struct spool *sp, int os_errno, const char *doing);

#endif
