#ifndef STOQ_SIM_COST_H
#define STOQ_SIM_COST_H
/*
 * What the daemon's transport costs, exchange by exchange: the one place from which the simulators take it.
 * The figures are measured on src/net itself, two endpoints on a path in memory (cost_harness.h): cost_test
 * measures them again and fails where one of them is more than a tenth off, bench/costs prints both.
 * Processor time depends on the machine, and on what else it does; instructions do not: those that an
 * exchange takes are held to a tenth everywhere (tests/e2e/instructions_are_what_the_simulator_says.py).
 *
 * An exchange is one request of SIM_COST_MESSAGE bytes and its answer of as many. With it counts all that it
 * leads to, the last acknowledgement and the ticket for the next time included.
 */
#include "base/types.h"

#define SIM_COST_MESSAGE 64u           /* bytes of a request, and of its answer */
#define SIM_COST_STREAM_BYTES STOQ_MIB /* of SIM_COST_STREAM's answer */
#define SIM_COST_DATAGRAM_BYTES 1452u  /* the path's largest */
#define SIM_COST_DATAGRAM_HEAD 48u     /* IPv6 and UDP, in front of each on a line */
#define SIM_COST_FIND_ROOM 1125u       /* bytes that a FindNode leaves its answer */
#define SIM_COST_STORE_BYTES 223u      /* of a Store: docs/PROTOCOL.md section 10, `store` */

enum sim_cost_kind {
    SIM_COST_DATAGRAM,       /* a sealed datagram to a node whose token is here, and its reply */
    SIM_COST_DATAGRAM_FIRST, /* the same where one goes before it that brings the token */
    SIM_COST_FIND,           /* a FindNode in a sealed datagram, as long as its reply may get */
    SIM_COST_STORE,          /* a Store in one, with a token */
    SIM_COST_COLD,           /* dial, SecP384r1MLKEM1024, and ask when the handshake is done */
    SIM_COST_COLD_PURE,      /* the same by MLKEM1024 */
    SIM_COST_COLD_768,       /* by X25519MLKEM768 */
    SIM_COST_RESUMED,        /* as COLD, with a ticket */
    SIM_COST_EARLY,          /* with a ticket, asked in the first packets */
    SIM_COST_WARM,           /* on a connection that lives */
    SIM_COST_STREAM,         /* the same, with an answer of SIM_COST_STREAM_BYTES */
    SIM_COSTS,
};

struct sim_cost_side {
    uint32_t datagrams; /* that it sends */
    uint32_t bytes;     /* UDP payload of these */
    uint32_t
        cpu_ns; /* what it spends on a machine where SIM_COST_UNIT_NS holds, without the kernel's part */
    uint32_t
        instructions; /* in that, as valgrind counts them, whose processor has AVX2 and no AVX-512 */
};

struct sim_cost {
    uint32_t rtt_percent; /* hundredths of a round trip from the wish to the answer */
    struct sim_cost_side asker;
    struct sim_cost_side asked;
};

/*
 * How fast the machine is on which cpu_ns was taken: the sum of what one of each public-key operation takes
 * that handshakes and sealed datagrams are made of. And what a datagram costs its sender, or its receiver, in
 * the kernel there (bench/costs, loopback).
 */
#define SIM_COST_UNIT_NS 771000u
#define SIM_COST_SOCKET_NS 790u

/*
 * And what a whole daemon spends, its transport, the kernel's part, its store, hashes and decisions together,
 * measured between two of them on loopback with packets of a path (tests/e2e/daemon_costs.py). At the unit
 * above.
 */
enum sim_cost_daemon {
    SIM_COST_SERVE_MIB,   /* of a large package */
    SIM_COST_FETCH_MIB,   /* the same at the other end, durable */
    SIM_COST_SERVE_SMALL, /* a package of 4 KiB on a connection that lives: two requests */
    SIM_COST_FETCH_SMALL, /* the same at the other end, durable, the control API's call included */
    SIM_COST_DAEMONS,
};
uint32_t sim_cost_daemon_ns(enum sim_cost_daemon what);
uint32_t sim_cost_daemon_instructions(enum sim_cost_daemon what); /* without the kernel's */
const char *sim_cost_daemon_name(enum sim_cost_daemon what);      /* "serve-mib", ...; static */

const struct sim_cost *sim_cost(enum sim_cost_kind kind);
/* "cold", ...; static. */
const char *sim_cost_name(enum sim_cost_kind kind);
/* -1: none of that name. */
int sim_cost_of(const char *name);

/* Of the kinds that dial: what they cost more than the same exchange on a connection that lives. */
struct sim_cost sim_cost_dial(enum sim_cost_kind kind);
/* Processor time of one side, the kernel's part included. */
stoq_ns sim_cost_cpu(const struct sim_cost *cost, bool asked);
/* Bytes of these datagrams on a line, heads included. */
uint64_t sim_cost_line_bytes(const struct sim_cost_side *side);
/* Bytes on a line that an answer takes beside its own. */
uint64_t sim_cost_answer_head(void);
/* Bytes on a line, heads included, of so many bytes of a stream, and of what acknowledges them. */
uint64_t sim_cost_stream_there(uint64_t bytes);
uint64_t sim_cost_stream_back(uint64_t bytes);

#endif
