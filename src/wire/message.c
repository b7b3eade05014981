#include "wire/message_internal.h"

const char *stoq_error_code_name(uint64_t code)
{
    static const char *const names[] = {
        [STOQ_ERR_CONTENT_NOT_FOUND] = "ContentNotFound",
        [STOQ_ERR_CHUNK_NOT_FOUND] = "ChunkNotFound",
        [STOQ_ERR_INVALID_CHUNK_INDEX] = "InvalidChunkIndex",
        [STOQ_ERR_INTEGRITY_CHECK_FAILED] = "IntegrityCheckFailed",
        [STOQ_ERR_INSUFFICIENT_REPLICAS] = "InsufficientReplicas",
        [STOQ_ERR_MALFORMED] = "Malformed",
        [STOQ_ERR_UNSUPPORTED] = "Unsupported",
        [STOQ_ERR_BUSY] = "Busy",
        [STOQ_ERR_REFUSED] = "Refused",
        [STOQ_ERR_TOO_LARGE] = "TooLarge",
        [STOQ_ERR_INTERNAL] = "Internal",
        [STOQ_ERR_STALE] = "Stale",
        [STOQ_ERR_SIGNATURE_REJECTED] = "SignatureRejected",
        [STOQ_ERR_QUOTA_REACHED] = "QuotaReached",
        [STOQ_ERR_DISK_FULL] = "DiskFull",
    };
    if (code >= STOQ_COUNT(names) || names[code] == NULL) {
        return "UnknownError";
    }
    return names[code];
}

enum stoq_status stoq_error_code_status(uint64_t code)
{
    switch (code) {
    case STOQ_ERR_CONTENT_NOT_FOUND:
    case STOQ_ERR_CHUNK_NOT_FOUND:
    case STOQ_ERR_INVALID_CHUNK_INDEX:
        return STOQ_NOTFOUND;
    case STOQ_ERR_INTEGRITY_CHECK_FAILED:
        return STOQ_PROOF;
    case STOQ_ERR_MALFORMED:
        return STOQ_MALFORMED;
    case STOQ_ERR_UNSUPPORTED:
        return STOQ_VERSION;
    case STOQ_ERR_BUSY:
        return STOQ_BUSY;
    case STOQ_ERR_TOO_LARGE:
    case STOQ_ERR_QUOTA_REACHED:
    case STOQ_ERR_DISK_FULL:
        return STOQ_FULL;
    default:
        return STOQ_NET;
    }
}

const char *stoq_message_name(uint64_t type)
{
    static const char *const names[] = {
        [STOQ_MSG_HELLO] = "Hello",
        [STOQ_MSG_PING] = "Ping",
        [STOQ_MSG_ERROR] = "Error",
        [STOQ_MSG_RESPONSE] = "Response",
        [STOQ_MSG_PROOF] = "Proof",
        [STOQ_MSG_METADATA_QUERY] = "MetadataQuery",
        [STOQ_MSG_CHUNK_REQUEST] = "ChunkRequest",
        [STOQ_MSG_HAVE] = "Have",
        [STOQ_MSG_CANCEL] = "Cancel",
        [STOQ_MSG_ANNOUNCE] = "Announce",
        [STOQ_MSG_REQUEST] = "Request",
        [STOQ_MSG_PACKAGE_DOWNLOAD] = "PackageDownload",
        [STOQ_MSG_PEER_EXCHANGE] = "PeerExchange",
        [STOQ_MSG_OFFER] = "Offer",
        [STOQ_MSG_RECEIPT] = "Receipt",
        [STOQ_MSG_FIND_NODE] = "FindNode",
        [STOQ_MSG_FIND_VALUE] = "FindValue",
        [STOQ_MSG_STORE] = "Store",
        [STOQ_MSG_RENEW] = "Renew",
        [STOQ_MSG_PATCH] = "Patch",
    };
    if (type >= STOQ_COUNT(names) || names[type] == NULL) {
        return "Unknown";
    }
    return names[type];
}

uint32_t stoq_meta_shards_max(enum stoq_meta_kind kind)
{
    switch (kind) {
    case STOQ_META_CHUNK_LISTS:
    case STOQ_META_HAVE_CHUNKS:
        return STOQ_META_LISTS_MAX;
    case STOQ_META_HAVE_SHARDS:
        return STOQ_META_HAVE_MAX;
    case STOQ_META_MANIFEST:
    case STOQ_META_SHARD_LIST:
    case STOQ_META_SIGNATURES:
    case STOQ_META_OPENING:
    case STOQ_META_POINTER:
    case STOQ_META_CHUNKS:
    case STOQ_META_ALL_CHUNKS:
    case STOQ_META_PACKAGE:
    case STOQ_META_ACCEPTED:
        break;
    }
    return 0;
}

bool stoq_message_is_request(uint64_t type)
{
    return type != STOQ_MSG_ERROR && type != STOQ_MSG_RESPONSE && type != STOQ_MSG_PROOF;
}

bool stoq_meta_is_metadata(uint64_t kind)
{
    return kind >= STOQ_META_MANIFEST && kind <= STOQ_META_POINTER;
}
