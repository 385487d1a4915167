/*
 * Acknowledge, resend and recover: one client, one collector, a connection that
 * can break at any moment and a collector that can be killed at any moment.
 * docs/PROTOCOL.md ("Export") and docs/STORE.md ("Recovery") in small.
 *
 * Checked in every reachable state: what the client takes for durable is on
 * disk (I1), no sequence number is stored twice (I3). Checked at the end, when
 * breaks and kills have run out: everything arrived exactly once (I2).
 *
 * Each mutant (-D) switches one safeguard off; spin must then find an error, else
 * this model checks nothing. scripts/model runs them all.
 */
#define N 3        /* batches */
#define KILLS 2    /* of the collector */
#define BREAKS 2   /* of the connection */
#define BIT(n) (1 << (n))

/* ---- what outlives a kill of the collector ---- */
byte log_synced = 0;       /* batches in the synced log, a set */
byte part = 0;             /* batches whose lines are in a part, synced */
byte part_twice = 0;       /* ... more than once */
byte committed = 0;        /* batches whose ordinals a COMMIT consumed */
byte log_forgot = 0;       /* batches that the log has let go */
byte manifest_mark = 0;    /* the watermark in the manifest */

/* ---- the collector's memory ---- */
byte log_written = 0;      /* appended, not synced */
byte accepted = 0;         /* watermark of what was taken in */
byte waiting = 0;          /* batches that the assembler holds */
byte part_written = 0;     /* lines written, not synced */
byte told = 0;             /* the last watermark sent on this connection */

/* ---- the client ---- */
byte acked = 0;            /* all up to here counts as durable */
byte sent = 0;             /* all up to here were sent on this connection */

/* ---- the connection ---- */
chan up = [2] of { byte };    /* batches */
chan down = [2] of { byte };  /* acknowledgements */
chan hello = [1] of { bit };
chan welcome = [1] of { byte };
bool connected = false;
bool greeted = false;
byte kills = 0;
byte breaks = 0;

#define ON_DISK ((log_synced & ~log_forgot) | (part & committed))

/* The highest n with 1..n all in the set s. */
inline mark_of(s, ret)
{
	ret = 0;
	do
	:: ret < N && ((s) & BIT(ret + 1)) -> ret++
	:: else -> break
	od
}

inline drop_connection()
{
	connected = false;
	greeted = false;
	told = 0;
	do
	:: nempty(up) -> up?_
	:: nempty(down) -> down?_
	:: nempty(hello) -> hello?_
	:: nempty(welcome) -> welcome?_
	:: empty(up) && empty(down) && empty(hello) && empty(welcome) -> break
	od
}

active proctype client()
{
	byte n;
end:	do
	:: atomic { !connected && acked < N -> connected = true; hello!1 }
	:: atomic { connected && nempty(welcome) -> welcome?n;
		greeted = true;
		if
		:: n > acked -> acked = n
		:: else
		fi;
		sent = acked }
#ifdef MUTANT_TRIM_EARLY
	:: atomic { greeted && sent < N && nfull(up) -> sent++; up!sent; acked = sent }
#else
	:: atomic { greeted && sent < N && nfull(up) -> sent++; up!sent }
#endif
	:: atomic { greeted && nempty(down) -> down?n;
		if
		:: n > acked -> acked = n
		:: else
		fi }
	od
}

active proctype collector()
{
	byte n;
	byte mark;
	byte batch;
end:	do
	/* hello: say what is durable */
	:: atomic { connected && nempty(hello) -> hello?_;
		mark = manifest_mark;
		mark_of(log_synced | log_forgot, n);
		if
		:: n > mark -> mark = n
		:: else
		fi;
#ifdef MUTANT_FORGET_MARK
		mark_of(log_synced & ~log_forgot, mark);
#endif
#ifdef MUTANT_WELCOME_ACCEPTED
		mark = accepted;
#endif
		told = mark;
		welcome!mark }
	/* a batch: take the next one, refuse to take any twice or out of order */
	:: atomic { connected && nempty(up) -> up?n;
		if
#ifdef MUTANT_NO_DEDUP
		:: true -> accepted = n; log_written = log_written | BIT(n);
			if
			:: (part | waiting) & BIT(n) -> part_twice = part_twice | BIT(n)
			:: else
			fi
#else
		:: n == accepted + 1 -> accepted = n; log_written = log_written | BIT(n)
		:: n != accepted + 1 && n <= accepted -> skip
		:: n > accepted + 1 ->
			assert(false) /* a gap: the client sends in order from the watermark */
#endif
		fi;
#ifdef MUTANT_ACK_EARLY
		if
		:: nfull(down) -> down!accepted
		:: else
		fi
#endif
		}
	/* group commit: sync, hand to the assembler, then acknowledge */
	:: atomic { log_written != 0 ->
		log_synced = log_synced | log_written;
		waiting = waiting | log_written;
		log_written = 0 }
	:: atomic { connected && nfull(down) && (log_synced & BIT(told + 1)) ->
		told++;
		down!told }
	/* store: lines, sync, commit, and only then forget */
	:: atomic { waiting != 0 && part_written == 0 ->
		batch = 1;
		do
		:: (waiting & BIT(batch)) == 0 -> batch++
		:: else -> break
		od;
		part_written = BIT(batch) }
#ifdef MUTANT_COMMIT_BEFORE_SYNC
	:: atomic { part_written != 0 && (committed & part_written) == 0 ->
		committed = committed | part_written; waiting = waiting & ~part_written }
	:: atomic { part_written != 0 && (committed & part_written) ->
		part = part | part_written; part_written = 0 }
#else
	:: atomic { part_written != 0 && (part & part_written) == 0 ->
		part = part | part_written }
	:: atomic { part_written != 0 && (part & part_written) ->
		committed = committed | part_written;
		waiting = waiting & ~part_written;
		part_written = 0 }
#endif
	/* the log lets go of its oldest, with its watermark in the manifest */
	:: atomic { (log_synced & committed & ~log_forgot) != 0 ->
		batch = 1;
		do
		:: (log_forgot & BIT(batch)) -> batch++
		:: else -> break
		od;
		if
		:: (log_synced & committed & BIT(batch)) ->
#ifndef MUTANT_FORGET_MARK
			if
			:: batch > manifest_mark -> manifest_mark = batch
			:: else
			fi;
#endif
			log_forgot = log_forgot | BIT(batch)
		:: else
		fi }
#ifdef MUTANT_FORGET_UNCOMMITTED
	:: atomic { (log_synced & ~log_forgot & BIT(1)) -> log_forgot = log_forgot | BIT(1);
		manifest_mark = 1 }
#endif
	/* killed, started again, recovered */
	:: atomic { kills < KILLS -> kills++;
		drop_connection();
		log_written = 0;
		/* bytes beyond the last COMMIT go to quarantine */
#ifdef MUTANT_KEEP_UNCOMMITTED
		part_twice = part_twice | (part & ~committed & log_synced);
#else
		part = part & committed;
#endif
		part_written = 0;
		waiting = log_synced & ~log_forgot & ~committed;
#ifdef MUTANT_REPLAY_CONSUMED
		part_twice = part_twice | (log_synced & ~log_forgot & committed);
#endif
		mark_of(log_synced | log_forgot, accepted);
#ifdef MUTANT_FORGET_MARK
		mark_of(log_synced & ~log_forgot, accepted);
#endif
		if
		:: manifest_mark > accepted -> accepted = manifest_mark
		:: else
		fi }
	od
}

active proctype network()
{
end:	do
	:: atomic { connected && breaks < BREAKS -> breaks++; drop_connection() }
	od
}

/* I1 and I3, in every state. */
active proctype monitor()
{
end:	do
	:: atomic { acked > 0 && ((ON_DISK & BIT(acked)) == 0) -> assert(false) }
	:: atomic { part_twice != 0 -> assert(false) }
	:: atomic { acked == N && waiting == 0 && log_written == 0 && part_written == 0 &&
		part_twice == 0 -> assert((part & committed) == (BIT(N + 1) - 2)) }
	od
}

/* I2: with kills and breaks used up, all of it arrives. */
ltl arrives { <> (acked == N) }
