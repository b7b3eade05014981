#ifndef STOQ_SIM_COST_HARNESS_H
#define STOQ_SIM_COST_HARNESS_H
/*
 * The costs of cost.h, measured: two endpoints of src/net on a path in memory, in virtual time, as cost_test
 * and bench/costs want them. Round trips, datagrams and bytes come out the same in every run. Processor time
 * is the thread's, of each side by itself: the least of several runs, since other work only adds to it.
 */
#include "sim/cost.h"

/* One exchange of this kind; cpu_ns of one run. Nothing counts instructions here. */
void cost_measure(enum sim_cost_kind kind, struct sim_cost *out);

/*
 * Where a tool that counts instructions function by function looks: all that a side spends in an exchange, it
 * spends inside one of the first two; the others are called once in each, when it begins and when it is over.
 */
struct net_pipe;
void cost_by_asker(struct net_pipe *pipe, void (*work)(struct net_pipe *pipe, bool of_b));
void cost_by_asked(struct net_pipe *pipe, void (*work)(struct net_pipe *pipe, bool of_b));
void cost_begins(void);
void cost_ends(void);

#define COST_UNIT_PARTS 9
/* The least processor time that any run took, of each kind and of what makes the unit (SIM_COST_UNIT_NS). */
struct cost_times {
    stoq_ns asker[SIM_COSTS];
    stoq_ns asked[SIM_COSTS];
    stoq_ns parts[COST_UNIT_PARTS];
    stoq_ns unit;
};
void cost_times_init(struct cost_times *t);
/* So many runs more, all kinds in turn. */
void cost_time(struct cost_times *t, unsigned runs);
/* What the table's figure comes to on a machine with this unit. */
stoq_ns cost_expected(uint32_t cpu_ns, stoq_ns unit);
/* Is this the kind of processor on which the table's was taken? On another one, what is no public-key
 * operation may stand in another proportion to those. */
bool cost_is_same_processor(void);

/* Is one of them more than a tenth of the smaller away from the other? */
bool cost_is_off(uint64_t table, uint64_t measured);
/* Which of round trips, datagrams and bytes is off; NULL: none. */
const char *cost_off(const struct sim_cost *table, const struct sim_cost *measured);

#endif
