/* verify.h: holds a ledger against a store, with a reader of its own. */
#ifndef WAFT_LOAD_VERIFY_H
#define WAFT_LOAD_VERIFY_H

#include "ledger.h"

/* What became of one process of the load. */
struct verify_process {
	uint64_t ended;	  /* spans, by the ledger */
	uint64_t stored;  /* of them, finished or pending */
	uint64_t missing; /* ended and not stored as finished */
};

struct verify_result {
	uint64_t emitted;    /* spans ended, by the ledger */
	uint64_t stored;     /* of them, found in the store once at least */
	uint64_t doubled;    /* lines too many */
	uint64_t lost;	     /* acknowledged by the library's word, not stored */
	uint64_t holes;	     /* not stored though their thread's later ones are, and not dropped */
	uint64_t pending;    /* stored as pending only */
	uint64_t misplaced;  /* wrong parent or trace */
	uint64_t strange;    /* lines of this run that the ledger knows nothing of */
	uint64_t mismatched; /* processes whose stats don't add up */
	uint64_t malformed;  /* lines that aren't the eleven keys in order */
	struct verify_process rows[LEDGER_PROCESSES_MAX];
};

/* Reads every *.jsonl and *.jsonl.zst in the directory store. 0 or a negative errno. */
int verify_store(const struct ledger *ledger, const char *store, struct verify_result *ret_result);

#endif
