/*
 * Forwarding: an agent with a log of one client's batches, two partitions, two
 * gateways; each of them can be killed at any moment, and connections break with
 * that. docs/PROTOCOL.md ("Forward", "Partitions") and docs/STORE.md ("Forwarding") in
 * small. At any moment the log may be too long: the oldest batch of which nothing was
 * ever sent becomes a count of what was dropped, which takes its place.
 *
 * Checked in every reachable state: what the agent's log let go is at a gateway, in each
 * partition or as a count (I1, I4), no batch both ways, and no gateway stores a share or a
 * count twice (I3). At the end, when kills have run out, everything arrives (I2).
 *
 * Each mutant (-D) switches one safeguard off; spin must then find an error. That all
 * arrives is shown for one batch: for two it takes minutes.
 *
 * arrives with: -DN=1
 */
#ifndef N
#define N 2              /* batches, at most 2; each has a share in both partitions */
#endif
#define AGENT_KILLS 1
#define GATEWAY_KILLS 1
#define SHEDS 1          /* batches that are shed */
#define BIT(n) (1 << (n))
#define AT(g, p) ((g) * 2 + (p))    /* of a partition at a gateway */
#define SHARE(p, n) ((p) * (N + 1) + (n))

/* ---- what outlives kills ---- */
byte cursor = 0;         /* the agent's manifest: all up to here is answered */
byte reached = 0;        /* there too: nothing behind this was ever sent */
byte shed = 0;           /* the agent's log: batches that are counts, a set */
byte stored[4];          /* the gateways' synced logs: sets of batches */
byte mark[4];            /* and the watermarks that come with them */
byte written[4];         /* taken, not synced: lost with the gateway */
byte seen[4];            /* watermarks in memory */
byte counted[2];         /* counts in the synced logs: sets of batches */
byte counting[2];        /* those among what is written */
bool twice = false;

/* ---- the agent's memory ---- */
byte given[2];           /* the last batch whose share was given to a gateway */
byte owner[2];           /* the gateway for what is new of a partition */
byte place[2 * (N + 1)];           /* the gateway of each share */
byte answered[2];        /* sets */
byte sent[4];            /* on this connection, the last of a partition */
bool connected[2];
bool away[2];            /* the gateway is down */

chan up[2] = [1] of { byte, byte, byte };    /* partition, number, whether it is a count */
chan down[2] = [1] of { byte, byte };
byte agent_kills = 0;
byte gateway_kills = 0;
byte sheds = 0;

#define ALL (BIT(N + 1) - 2)
#define UNANSWERED(p) ((BIT(given[p] + 1) - 2) & ~answered[p])

/* Whether a share is to be sent to a gateway now. */
#define WANTS(g, p, n) (n <= N && n <= given[p] && \
	n > sent[AT(g, p)] && place[SHARE(p, n)] == g && !(answered[p] & BIT(n)))

inline send(g, p, n)
{
	sent[AT(g, p)] = n;
	up[g]!p,n,(shed & BIT(n)) != 0
}

inline disconnect(g)
{
	connected[g] = false;
	sent[AT(g, 0)] = 0;
	sent[AT(g, 1)] = 0;
	do
	:: nempty(up[g]) -> up[g]?_,_,_
	:: nempty(down[g]) -> down[g]?_,_
	:: empty(up[g]) && empty(down[g]) -> break
	od
}

/* The agent begins: from the cursor, each partition at its own gateway. */
inline begin_agent()
{
	given[0] = cursor; given[1] = cursor;
	answered[0] = BIT(cursor + 1) - 2; answered[1] = BIT(cursor + 1) - 2;
	owner[0] = 0; owner[1] = 1
}

/* What of a partition is not answered at a gateway goes to the other. */
inline move(p, g, n)
{
	n = 1;
	do
	:: n <= given[p] ->
		if
		:: (UNANSWERED(p) & BIT(n)) && place[SHARE(p, n)] == g ->
			place[SHARE(p, n)] = 1 - g
		:: else
		fi;
		n++
	:: else -> break
	od;
	/* In order, so from the oldest on. */
	sent[AT(1 - g, p)] = 0
}

/* Set before they are used, in the same step: no part of the state. */
hidden byte p;
hidden byte n;
hidden byte count;

active proctype agent()
{
	atomic { begin_agent() }
end:	do
	:: atomic { !connected[0] && !away[0] && cursor < N -> connected[0] = true }
	:: atomic { !connected[1] && !away[1] && cursor < N -> connected[1] = true }
	/* read the log: the next batch of a partition goes to its owner */
	:: atomic { given[0] < N -> p = 0; goto give }
	:: atomic { given[1] < N -> p = 1;
give:
		/* back to its own gateway, when nothing is open at the other */
		if
#ifdef MUTANT_OVERTAKES
		:: !away[p] -> owner[p] = p
#else
		:: !away[p] && UNANSWERED(p) == 0 -> owner[p] = p
#endif
		:: else
		fi;
		given[p]++;
		place[SHARE(p, given[p])] = owner[p];
		/* known to the manifest before it is sent */
		if
		:: given[p] > reached -> reached = given[p]
		:: else
		fi;
		/* a count is no partition's: it goes with the first's */
		if
#ifdef MUTANT_SHEDS_UNCOUNTED
		:: shed & BIT(given[p]) -> answered[p] = answered[p] | BIT(given[p])
#else
		:: p == 1 && (shed & BIT(given[p])) -> answered[p] = answered[p] | BIT(given[p])
#endif
		:: else
		fi }
	/* the log is too long: the oldest that was never sent */
#ifdef MUTANT_SHEDS_SENT
	:: atomic { cursor < N && sheds < SHEDS && !(shed & BIT(cursor + 1)) ->
		shed = shed | BIT(cursor + 1); sheds++ }
#else
	:: atomic { reached < N && sheds < SHEDS && !(shed & BIT(reached + 1)) ->
		shed = shed | BIT(reached + 1); sheds++ }
#endif
	/* send the oldest that is not answered and was not sent on this connection */
	:: atomic { connected[0] && empty(up[0]) && WANTS(0, 0, 1) -> send(0, 0, 1) }
	:: atomic { connected[0] && empty(up[0]) && WANTS(0, 1, 1) -> send(0, 1, 1) }
	:: atomic { connected[1] && empty(up[1]) && WANTS(1, 0, 1) -> send(1, 0, 1) }
	:: atomic { connected[1] && empty(up[1]) && WANTS(1, 1, 1) -> send(1, 1, 1) }
	:: atomic { connected[0] && empty(up[0]) && WANTS(0, 0, 2) && !WANTS(0, 0, 1) ->
		send(0, 0, 2) }
	:: atomic { connected[0] && empty(up[0]) && WANTS(0, 1, 2) && !WANTS(0, 1, 1) ->
		send(0, 1, 2) }
	:: atomic { connected[1] && empty(up[1]) && WANTS(1, 0, 2) && !WANTS(1, 0, 1) ->
		send(1, 0, 2) }
	:: atomic { connected[1] && empty(up[1]) && WANTS(1, 1, 2) && !WANTS(1, 1, 1) ->
		send(1, 1, 2) }
	/* answers */
	:: atomic { nempty(down[0]) -> down[0]?p,n; answered[p] = answered[p] | BIT(n) }
	:: atomic { nempty(down[1]) -> down[1]?p,n; answered[p] = answered[p] | BIT(n) }
	/* the cursor, then the log lets go */
#ifdef MUTANT_TRIMS_UNANSWERED
	:: atomic { given[0] > cursor && given[1] > cursor -> cursor++ }
#else
	:: atomic { cursor < N && (answered[0] & answered[1] & BIT(cursor + 1)) -> cursor++ }
#endif
	/* a gateway is down for too long: the other gets what it had */
	:: atomic { away[0] && !away[1] && (owner[0] == 0 || owner[1] == 0) ->
		owner[0] = 1; owner[1] = 1; move(0, 0, n); move(1, 0, n) }
	:: atomic { away[1] && !away[0] && (owner[0] == 1 || owner[1] == 1) ->
		owner[0] = 0; owner[1] = 0; move(0, 1, n); move(1, 1, n) }
	/* killed, started again */
	:: atomic { agent_kills < AGENT_KILLS -> agent_kills++;
		disconnect(0); disconnect(1);
#ifdef MUTANT_REACHED_FORGOTTEN
		reached = cursor;
#endif
		begin_agent() }
	od
}

active [2] proctype gateway()
{
	byte g = _pid - 1;
end:	do
	:: atomic { nempty(up[g]) && nfull(down[g]) -> up[g]?p,n,count;
		if
#ifdef MUTANT_FORGETS_PARTITION
		:: n <= seen[AT(g, 0)] || n <= seen[AT(g, 1)] ->
#else
		:: n <= seen[AT(g, p)] ->
#endif
			/* was taken: answered when it is durable */
			if
			:: n <= mark[AT(g, p)] || !(written[AT(g, p)] & BIT(n)) -> down[g]!p,n
			:: else
			fi
		:: else ->
			twice = twice || (stored[AT(g, p)] & BIT(n)) ||
				(p == 0 && (counted[g] & BIT(n)));
			written[AT(g, p)] = written[AT(g, p)] | BIT(n);
			if
			:: count -> counting[g] = counting[g] | BIT(n)
			:: else
			fi;
			seen[AT(g, p)] = n;
#ifdef MUTANT_ANSWERS_EARLY
			down[g]!p,n
#endif
		fi }
	/* sync, and answer: one at a time, so that a kill may come between */
	:: atomic { (written[AT(g, 0)] || written[AT(g, 1)]) && nfull(down[g]) ->
		if
		:: written[AT(g, 0)] -> p = 0
		:: written[AT(g, 1)] -> p = 1
		fi;
		n = 1;
		do
		:: (written[AT(g, p)] & BIT(n)) == 0 -> n++
		:: else -> break
		od;
		mark[AT(g, p)] = n;
		written[AT(g, p)] = written[AT(g, p)] & ~BIT(n);
		if
		:: p == 0 && (counting[g] & BIT(n)) ->
			counted[g] = counted[g] | BIT(n);
			counting[g] = counting[g] & ~BIT(n)
		:: else -> stored[AT(g, p)] = stored[AT(g, p)] | BIT(n)
		fi;
		if
		:: connected[g] -> down[g]!p,n
		:: else
		fi }
	/* killed; it comes back with what was synced */
	:: atomic { !away[g] && gateway_kills < GATEWAY_KILLS -> gateway_kills++;
		away[g] = true;
		disconnect(g);
		written[AT(g, 0)] = 0; written[AT(g, 1)] = 0;
		counting[g] = 0;
#ifdef MUTANT_GATEWAY_FORGETS
		mark[AT(g, 0)] = 0; mark[AT(g, 1)] = 0;
#endif
		seen[AT(g, 0)] = mark[AT(g, 0)]; seen[AT(g, 1)] = mark[AT(g, 1)] }
	:: atomic { away[g] -> away[g] = false }
	od
}

/* I1, I3 and I4, in every state. */
#define STORED(p) (stored[AT(0, p)] | stored[AT(1, p)])
#define COUNTED (counted[0] | counted[1])
#define PASSED (BIT(cursor + 1) - 2)
active proctype monitor()
{
end:	do
	:: atomic { (PASSED & ~((STORED(0) & STORED(1)) | COUNTED)) != 0 -> assert(false) }
	:: atomic { ((STORED(0) | STORED(1)) & COUNTED) != 0 -> assert(false) }
	:: atomic { twice -> assert(false) }
	od
}

/* I2: with kills used up, all of it arrives. */
ltl arrives { <> (cursor == N) }
