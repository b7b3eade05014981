#ifndef STOQ_NODE_NODE_DHT_INTERNAL_H
#define STOQ_NODE_NODE_DHT_INTERNAL_H
/*
 * node_dht.c drives the core; node_dht_codec.c turns signed records into contacts and back;
 * node_dht_answer.c answers others; node_dht_stores.c gathers stores of one holder; node_dht_renew.c
 * signs renewals and reads those of others; node_dht_patch.c what is signed anew.
 */
#include "base/map.h"
#include "node/node_dht.h"

/* What the book keeps with a contact. */
struct card {
    struct stoq_peer_id peer;
    struct stoq_hash rpc_key;
    uint64_t sequence;
    struct stoq_node_dht_addr addresses[STOQ_NODE_DHT_ADDRESSES_MAX];
    uint32_t address_count;
    uint32_t at; /* which of them is used: another after a silence */
    uint8_t token[STOQ_NODE_DHT_TOKEN_BYTES];
    bool has_token;
    uint32_t tokens;   /* that it gave us so far, each counted once */
    bool plain;        /* it has said that it knows no renewals */
    bool whole;        /* it has said that it knows no patches */
    stoq_ns stores_at; /* no message of stores goes to it before */
    uint32_t signed_n; /* the record, as it travels */
    uint8_t *signed_bytes;
};

enum errand_kind { ERRAND_CALL, ERRAND_STORES, ERRAND_PROVE, ERRAND_JOIN };

/* A STORE of the core's, or a RENEW or PATCH, which travel alone. */
struct store_call {
    struct store_call *next;
    uint64_t core_cookie;
    stoq_ns resend_ns;                /* the core's */
    bool again;                       /* it was refused, with a token that was none any more */
    struct stoq_dht_record *record;   /* held; or ... */
    struct stoq_dht_renewal *renewal; /* held; or ... */
    struct stoq_dht_patch *patch;     /* held */
};

struct parcel;

/* A call on its way. */
struct errand {
    enum errand_kind kind;
    uint64_t cookie;
    uint64_t core_cookie;
    stoq_contact_no contact; /* held; 0: none */
    struct stoq_peer_id peer;
    struct store_call *stores; /* of STORES, instead of core_cookie */
    uint32_t tokens;           /* its contact's, when it was sent */
};

struct stoq_node_dht {
    struct stoq_node_dht_config cfg;
    struct stoq_hash rpc_key;
    struct stoq_dht *core;
    struct stoq_dht_book *book;
    struct stoq_hash id;
    struct stoq_peer_id peer;
    stoq_contact_no self;
    uint64_t wall_us; /* at wall_at */
    stoq_ns wall_at;
    uint64_t sequence;  /* of the last record we signed */
    stoq_ns self_until; /* our own record is signed anew then */
    struct stoq_map errands;
    uint64_t last_cookie;
    struct parcel *parcels; /* stores that wait for others, or for their turn */
    /* What the last poll lends. */
    struct stoq_message msg;
    struct stoq_buf
        more; /* of a Store: its records but the first; of a Renew: what is signed; of a Patch: all */
    struct card lent;
    struct stoq_node_dht_addr found[STOQ_NODE_DHT_ADDRESSES_MAX];
    struct stoq_buf self_signed; /* our contact record; empty: none */
    /* JOINs to be told. */
    struct stoq_node_dht_call joins[16];
    uint32_t join_count;
    /* The answer being made. */
    struct stoq_buf *answer;
    const struct stoq_message *request;
    size_t answer_room;
    enum stoq_status answer_status;
    enum stoq_dht_outcome stored; /* of a record that is offered */
    uint32_t stored_ttl_s;
};

/* node_dht.c */
struct errand *node_dht_errand_new(struct stoq_node_dht *nd, enum errand_kind kind); /* or NULL */
void node_dht_errand_free(struct stoq_node_dht *nd, struct errand *e);
/* Make nd->msg a call to the errand's contact. */
void node_dht_lend_call(struct stoq_node_dht *nd, struct errand *e, stoq_ns resend_ns,
                        struct stoq_node_dht_action *out);

/* What the core wants; false: it was seen to here. */
bool node_dht_act(struct stoq_node_dht *nd, const struct stoq_dht_action *a,
                  struct stoq_node_dht_action *out, stoq_ns now);

/* node_dht_answer.c */
/* The core's answer to nd->request. */
void node_dht_put_answer(struct stoq_node_dht *nd, const struct stoq_dht_answer *a);

/* node_dht_stores.c */
/* Take a STORE of the core's; it goes soon. False: no memory. */
bool node_dht_gather(struct stoq_node_dht *nd, const struct stoq_dht_call *c, stoq_ns now);
/* The next message of stores; false: none is ready. */
bool node_dht_send_stores(struct stoq_node_dht *nd, struct stoq_node_dht_action *out, stoq_ns now);
stoq_ns node_dht_stores_deadline(const struct stoq_node_dht *nd);
/* Its answer, or that there is none: how; then reply is NULL, or an Error. What was refused for an old token
 * goes once more with the one that came with that. */
void node_dht_stores_replied(struct stoq_node_dht *nd, struct errand *e,
                             const struct stoq_dht_reply *how, const struct stoq_message *reply,
                             stoq_ns now);
void node_dht_store_calls_free(struct store_call *first); /* NULL is fine */
void node_dht_stores_release(struct stoq_node_dht *nd);

/* node_dht_patch.c */
/* Make nd->msg what the core gives away so. False: could not. */
bool node_dht_patch_message(struct stoq_node_dht *nd, const struct stoq_dht_patch *patch);
/* What has become of it; as node_dht_renew_reply. */
void node_dht_patch_reply(struct stoq_node_dht *nd, stoq_contact_no from,
                          const struct stoq_dht_patch *patch, const struct stoq_message *reply,
                          struct stoq_dht_reply *out);
/* The body of a record with another sequence and time: the first and only thing in out. STOQ_OK;
 * STOQ_MALFORMED: the record is none; STOQ_NOMEM. */
STOQ_WARN_UNUSED enum stoq_status node_dht_rebuild(const struct stoq_dht_record *base,
                                                   uint64_t sequence, uint64_t issued_at_s,
                                                   struct stoq_buf *out);
/* Append the answer to a Patch. */
STOQ_WARN_UNUSED enum stoq_status node_dht_answer_patch(struct stoq_node_dht *nd,
                                                        const struct stoq_message *request,
                                                        const struct stoq_node_dht_from *from,
                                                        stoq_ns now);

/* node_dht_answer.c: offer a record to the core, nd->stored; patched: made out of one that is here. */
void node_dht_offer(struct stoq_node_dht *nd, const struct stoq_signed *s,
                    const struct stoq_node_dht_from *from, bool patched, stoq_ns now);
struct stoq_message node_dht_refusal(const struct stoq_message *request,
                                     enum stoq_dht_outcome outcome);

/* node_dht_renew.c */
/* Make nd->msg what the core says to this contact, signed. False: could not. */
bool node_dht_renew_message(struct stoq_node_dht *nd, stoq_contact_no to,
                            const struct stoq_dht_renewal *renewal);
bool node_dht_is_unsupported(const struct stoq_message *reply); /* NULL: no */
/* A byte for each of count records, or it is no answer; NULL: it is none. */
void node_dht_kept_reply(const struct stoq_span *kept, uint32_t count, struct stoq_dht_reply *out);
/* What has become of it, from the answer's message; the same outcome otherwise. out.kept is lent by reply. */
void node_dht_renew_reply(struct stoq_node_dht *nd, stoq_contact_no from,
                          const struct stoq_dht_renewal *renewal, const struct stoq_message *reply,
                          struct stoq_dht_reply *out);
/* A renewal of the wire, whose signature is not looked at. NULL: no memory. to_us: it names this holder. */
struct stoq_dht_renewal *node_dht_renewal(const struct stoq_node_dht *nd,
                                          const struct stoq_signed *s, bool *to_us);
bool node_dht_renewal_signed(const struct stoq_dht_renewal *r);

/* An event that the core always takes in. */
void node_dht_tell(struct stoq_node_dht *nd, const struct stoq_dht_event *ev, stoq_ns now);
uint64_t node_dht_wall_us(const struct stoq_node_dht *nd, stoq_ns now);
/* The contact of a signed record, held once for the caller; 0: it is none, or not for us. */
stoq_contact_no node_dht_contact(struct stoq_node_dht *nd, const struct stoq_signed *s,
                                 stoq_ns now);
struct card *node_dht_card(const struct stoq_node_dht *nd, stoq_contact_no contact);
void node_dht_card_drop(void *user, void *data);
/* A location record of the wire; its signature is not looked at. NULL: no memory, or no such thing. */
struct stoq_dht_record *node_dht_record(const struct stoq_signed *s);
/* Is it signed by who it says? */
bool node_dht_record_signed(const struct stoq_dht_record *r);
/* The record's two parts again. */
struct stoq_signed node_dht_record_parts(const struct stoq_dht_record *r);
/* Sign one of ours. NULL: could not. likewise: as MADE has it. */
struct stoq_dht_record *node_dht_make(struct stoq_node_dht *nd, const struct stoq_dht_make *make,
                                      bool *likewise, stoq_ns now);
/* Sign our own contact record anew where that is due. */
void node_dht_renew_self(struct stoq_node_dht *nd, stoq_ns now);
/* At which of a record's addresses its publisher is pinged; false: none means anything here. */
bool node_dht_ping_address(const struct stoq_node_dht *nd, struct stoq_span addresses,
                           struct stoq_node_dht_addr *out);
bool node_dht_names_address(const struct stoq_dht_record *r, const struct stoq_node_dht_addr *addr);

#endif
