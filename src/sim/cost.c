/* The table, and the sums that the simulators make of it. */
#include "sim/cost.h"

#include <string.h>

static const struct {
    const char *name;
    struct sim_cost cost;
} table[SIM_COSTS] = {
    [SIM_COST_DATAGRAM] = {"datagram", {100, {1, 256, 92600, 1212000}, {1, 123, 55500, 739000}}},
    [SIM_COST_DATAGRAM_FIRST] = {"datagram-first",
                                 {200, {2, 512, 187300, 2425000}, {2, 246, 112400, 1479000}}},
    [SIM_COST_FIND] = {"find", {100, {1, 1200, 92000, 1217000}, {1, 1184, 55900, 749000}}},
    [SIM_COST_STORE] = {"store", {100, {1, 512, 91600, 1213000}, {1, 123, 55300, 740000}}},
    [SIM_COST_COLD] = {"cold", {200, {6, 3716, 1088100, 11630000}, {6, 2610, 1023700, 11220000}}},
    [SIM_COST_COLD_PURE] = {"cold-pure",
                            {200, {6, 3716, 554400, 5376000}, {6, 2610, 513500, 4970000}}},
    [SIM_COST_COLD_768] = {"cold-768",
                           {200, {6, 3716, 599700, 5960000}, {6, 2610, 567300, 5690000}}},
    [SIM_COST_RESUMED] = {"resumed", {200, {6, 3716, 849700, 9941000}, {6, 2679, 764200, 9221000}}},
    [SIM_COST_EARLY] = {"early", {100, {5, 3678, 849500, 9948000}, {6, 2619, 793200, 9462000}}},
    [SIM_COST_WARM] = {"warm", {100, {3, 176, 22200, 62500}, {4, 210, 22300, 63700}}},
    [SIM_COST_STREAM] = {"stream",
                         {119, {20, 894, 554800, 6724000}, {747, 1077561, 768400, 7198000}}},
};

static const struct {
    const char *name;
    uint32_t cpu_ns;
    uint32_t instructions;
} daemons[SIM_COST_DAEMONS] = {
    [SIM_COST_SERVE_MIB] = {"serve-mib", 1400000, 7430000},
    [SIM_COST_FETCH_MIB] = {"fetch-mib", 2520000, 12400000},
    [SIM_COST_SERVE_SMALL] = {"serve-small", 580000, 349000},
    [SIM_COST_FETCH_SMALL] = {"fetch-small", 2570000, 4330000},
};

uint32_t sim_cost_daemon_ns(enum sim_cost_daemon what)
{
    return daemons[what].cpu_ns;
}

uint32_t sim_cost_daemon_instructions(enum sim_cost_daemon what)
{
    return daemons[what].instructions;
}

const char *sim_cost_daemon_name(enum sim_cost_daemon what)
{
    return daemons[what].name;
}

const struct sim_cost *sim_cost(enum sim_cost_kind kind)
{
    return &table[kind].cost;
}

const char *sim_cost_name(enum sim_cost_kind kind)
{
    return table[kind].name;
}

int sim_cost_of(const char *name)
{
    for (int i = 0; i < SIM_COSTS; i++) {
        if (strcmp(table[i].name, name) == 0) {
            return i;
        }
    }
    return -1;
}

static uint32_t more(uint32_t of, uint32_t than)
{
    return of > than ? of - than : 0;
}

static struct sim_cost_side side_more(const struct sim_cost_side *of,
                                      const struct sim_cost_side *than)
{
    return (struct sim_cost_side){more(of->datagrams, than->datagrams),
                                  more(of->bytes, than->bytes), more(of->cpu_ns, than->cpu_ns),
                                  more(of->instructions, than->instructions)};
}

struct sim_cost sim_cost_dial(enum sim_cost_kind kind)
{
    const struct sim_cost *all = sim_cost(kind);
    const struct sim_cost *warm = sim_cost(SIM_COST_WARM);
    return (struct sim_cost){.rtt_percent = more(all->rtt_percent, warm->rtt_percent),
                             .asker = side_more(&all->asker, &warm->asker),
                             .asked = side_more(&all->asked, &warm->asked)};
}

stoq_ns sim_cost_cpu(const struct sim_cost *cost, bool asked)
{
    stoq_ns own = asked ? cost->asked.cpu_ns : cost->asker.cpu_ns;
    return own + (stoq_ns)(cost->asker.datagrams + cost->asked.datagrams) * SIM_COST_SOCKET_NS;
}

uint64_t sim_cost_line_bytes(const struct sim_cost_side *side)
{
    return side->bytes + (uint64_t)side->datagrams * SIM_COST_DATAGRAM_HEAD;
}

uint64_t sim_cost_answer_head(void)
{
    return sim_cost_line_bytes(&sim_cost(SIM_COST_WARM)->asked) - SIM_COST_MESSAGE;
}

uint64_t sim_cost_stream_there(uint64_t bytes)
{
    return bytes * sim_cost_line_bytes(&sim_cost(SIM_COST_STREAM)->asked) / SIM_COST_STREAM_BYTES;
}

uint64_t sim_cost_stream_back(uint64_t bytes)
{
    return bytes * sim_cost_line_bytes(&sim_cost(SIM_COST_STREAM)->asker) / SIM_COST_STREAM_BYTES;
}
