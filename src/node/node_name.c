#include "node/node_io.h"

const char *stoq_node_why_str(enum stoq_node_why why)
{
    switch (why) {
    case STOQ_NODE_BAD_CHUNK:
        return "bytes that are not the chunk";
    case STOQ_NODE_BAD_METADATA:
        return "metadata that is not the package's";
    case STOQ_NODE_BAD_REPLY:
        return "a reply that breaks the protocol";
    case STOQ_NODE_BAD_REQUEST:
        return "requests that break the protocol";
    case STOQ_NODE_STALLED:
        return "silent for too long";
    case STOQ_NODE_CUT:
        return "cut off for what it sent before";
    }
    return "unknown reason";
}

const char *stoq_node_step_str(enum stoq_node_step step)
{
    switch (step) {
    case STOQ_NODE_STEP_DIAL:
        return "dialling";
    case STOQ_NODE_STEP_HELLO:
        return "hello";
    case STOQ_NODE_STEP_MANIFEST:
        return "manifest";
    case STOQ_NODE_STEP_SHARD_LIST:
        return "shard list";
    case STOQ_NODE_STEP_CHUNK_LISTS:
        return "chunk lists";
    case STOQ_NODE_STEP_CHUNKS:
        return "chunks";
    }
    return "unknown step";
}
