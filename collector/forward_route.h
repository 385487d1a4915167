/*
 * Which gateway a partition goes to. Pure.
 *
 * Rendezvous hashing (Thaler, Ravishankar, "A name-based mapping scheme for
 * rendezvous", 1996): of the gateways that are up, the one with the highest weight for
 * the partition. The weight is of the endpoint's text alone, so agents with the same
 * gateways agree, and only what a lost one had goes elsewhere.
 *
 * A partition stays where it is while something of it is not answered there: a gateway
 * takes the numbers of a client in a partition in ascending order only, so what is
 * newer must not overtake what is older. Only when its gateway is down does it leave with
 * all that is not answered.
 */
#ifndef WAFT_COLLECTOR_FORWARD_ROUTE_H
#define WAFT_COLLECTOR_FORWARD_ROUTE_H

#include "wire.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { ROUTE_GATEWAYS_MAX = 16 };

struct route {
	size_t gateway_count;
	uint64_t names[ROUTE_GATEWAYS_MAX]; /* hashes of the endpoints */
	bool up[ROUTE_GATEWAYS_MAX];
	uint8_t owners[WIRE_PARTITIONS];
	uint32_t unanswered[WIRE_PARTITIONS]; /* shares */
};

/* All up. */
void route_init(struct route *route, const char *const *endpoints, size_t count);

/* Where a new share of the partition goes; counts it as not answered. */
size_t route_take(struct route *route, unsigned int partition);

/* A share was answered. */
void route_answered(struct route *route, unsigned int partition);

/* A gateway is up again, or down. Partitions of gateways that are down get new owners,
 * and their shares have to be moved there. False: all are down, nothing has changed. */
bool route_set(struct route *route, size_t gateway, bool up);

#endif
