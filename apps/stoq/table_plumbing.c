/* The rows of the commands that let anybody check our formats from outside. */
#include "commands.h"
#include "cut.h"

static const struct cmd_option hash_options[] = {
    {"alg", 0, "ALG", "blake3, sha3-256, sha256, sha512 or xxh3-128 [blake3]", false},
};

static const struct cmd_option chunk_options[] = {
    CUT_OPTIONS,
    {"profile", 0, "CODE", "show a package's cuts, the file table's among them: 1 or 2", false},
};

static const struct cmd_option merkle_options[] = {
    CUT_OPTIONS,
    {"index", 0, "N", "the chunk, counted from 0", false},
    {"root", 0, "HEX", "verify: the root to verify against", false},
    {"proof", 0, "FILE", "verify: the proof", false},
    {"chunk", 0, NULL, "verify: FILE is the chunk's bytes and nothing else", false},
    {"output", 'o', "FILE", "prove: write the proof there; - for standard output", false},
};

static const struct cmd_option check_proof_options[] = {
    {"id", 0, "ID", "the package that you trust", false},
    {"first", 0, "N", "it must prove chunks from this one on", false},
    {"count", 0, "N", "it must prove this many", false},
    {"shard", 0, "K", "it must begin in this shard", false},
    {"data", 0, "FILE", "the chunks' bytes, where the proof file does not hold them", false},
};

static const struct cmd_row rows[] = {
    {.name = "hash",
     .synopsis = "FILE...",
     .summary = "hash files, or - for standard input",
     .details =
         "Prints `HEX  NAME` for each, as b3sum does. XXH3-128 finds accidents only: anybody\n"
         "can forge it.",
     .options = hash_options,
     .option_count = STOQ_COUNT(hash_options),
     .args_min = 1,
     .args_max = -1,
     .run = cmd_hash,
     .plumbing = true},
    {.name = "chunk",
     .synopsis = "FILE",
     .summary = "show where FastCDC cuts a file, or - for standard input",
     .details =
         "Prints the chunks' lengths, one a line: of plain FastCDC over the whole input, or\n"
         "with --profile those of a package of this file or directory, in runs.",
     .options = chunk_options,
     .option_count = STOQ_COUNT(chunk_options),
     .args_min = 1,
     .args_max = 1,
     .run = cmd_chunk,
     .plumbing = true},
    {.name = "merkle",
     .synopsis = "root|prove|verify FILE",
     .summary = "a file's Merkle root, and proofs of its chunks",
     .details =
         "root    prints the root of FILE (or - for standard input), cut as one run.\n"
         "prove   shows the proof of chunk --index, and with -o writes it.\n"
         "verify  checks chunk --index of FILE with --proof against --root; without --index and\n"
         "        --proof, the whole of FILE. Exit code 4: something does not fit.",
     .options = merkle_options,
     .option_count = STOQ_COUNT(merkle_options),
     .args_min = 2,
     .args_max = 2,
     .run = cmd_merkle,
     .plumbing = true},
    {.name = "check-proof",
     .synopsis = "FILE --id ID",
     .summary = "check a proof file that 'prove' wrote, without a store",
     .details =
         "Exit code 4: it proves nothing about this package, or something else than you want.",
     .options = check_proof_options,
     .option_count = STOQ_COUNT(check_proof_options),
     .args_min = 1,
     .args_max = 1,
     .run = cmd_check_proof,
     .plumbing = true},
    {.name = "manifest",
     .synopsis = "show|id|raw FILE|ID",
     .summary = "show a manifest's fields, its id or its bytes",
     .args_min = 2,
     .args_max = 2,
     .run = cmd_manifest,
     .plumbing = true},
};

const struct cmd_row *cmd_plumbing_row_at(size_t i)
{
    return i < STOQ_COUNT(rows) ? &rows[i] : NULL;
}
