/* s7_time.h -- times of a Siemens CPU and plain numbers. Pure.
 *
 * The clock of a CPU has no zone; moments are taken as UTC. Moments are nanoseconds since 1970. */
#ifndef S7_TIME_H
#define S7_TIME_H

#include <stdbool.h>
#include <stdint.h>

#define S7_NS_PER_MS  INT64_C(1000000)
#define S7_NS_PER_DAY INT64_C(86400000000000)

/* S5TIME: two bits of time base, three digits BCD; 0 to 9,990,000 ms. False: digits above 9. */
bool s7_s5time_decode(unsigned word, int64_t *ms);
/* With the finest base that holds it; what is finer than the base is cut. ms is 0 to 9,990,000. */
unsigned s7_s5time_encode(int64_t ms);
#define S7_S5TIME_MAX_MS INT64_C(9990000)

/* Three digits BCD of a counter. */
bool s7_counter_decode(unsigned word, int64_t *n);
unsigned s7_counter_encode(unsigned n); /* 0 to 999 */

/* DATE: days since 1990-01-01. */
int64_t s7_date_decode(unsigned days);
/* False: before 1990 or too late. */
bool s7_date_encode(int64_t ns, unsigned *days);
/* DATE_AND_TIME: 8 bytes BCD, 1990 to 2089. */
bool s7_dt_decode(const uint8_t p[8], int64_t *ns);
bool s7_dt_encode(int64_t ns, uint8_t p[8]);
/* DTL: 12 bytes, nanoseconds, 1970 to 2262. */
bool s7_dtl_decode(const uint8_t p[12], int64_t *ns);
bool s7_dtl_encode(int64_t ns, uint8_t p[12]);

#endif
