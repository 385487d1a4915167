/* Sessions' common part; see senders.h. */
#include "senders.h"

void sender_init(struct sender *sender, struct senders *list, struct call *call)
{
	sender->call = call;
	sender->account = connection_account(call->connection);
	sender->list = list;
	sender->next = list->first;
	if (list->first != NULL)
		list->first->previous = sender;
	list->first = sender;
	list->count++;
	quota_add_sender(sender->account);
}

void sender_done(struct sender *sender)
{
	struct senders *list = sender->list;

	if (sender->previous != NULL)
		sender->previous->next = sender->next;
	else
		list->first = sender->next;
	if (sender->next != NULL)
		sender->next->previous = sender->previous;
	list->count--;
	quota_remove_sender(sender->account);
	/* Nobody else would read it again: its peer's end went unseen, and its place stayed taken.
	 */
	connection_set_reading(sender->call->connection, true);
}

static size_t window_of(struct sender *sender)
{
	const struct senders *list = sender->list;

	return quota_window(sender->account, ingest_window_bytes(list->ingest),
		clock_monotonic_ms(list->clock));
}

uint64_t sender_grant(struct sender *sender)
{
	uint64_t wanted = sender->received_bytes + window_of(sender);

	if (wanted > sender->granted_bytes)
		sender->granted_bytes = wanted;
	return sender->granted_bytes;
}

bool sender_wants_credit(struct sender *sender)
{
	size_t window = window_of(sender);

	return sender->received_bytes + window > sender->granted_bytes + window / 4;
}

bool sender_receive(struct sender *sender, size_t bytes)
{
	bool within = sender->received_bytes < sender->granted_bytes;

	sender->received_bytes += bytes;
	quota_received(sender->account, bytes, clock_monotonic_ms(sender->list->clock));
	return within;
}

void sender_read(struct sender *sender)
{
	connection_set_reading(
		sender->call->connection, !sender->list->paused && !quota_is_full(sender->account));
}

void senders_pause(struct senders *list, bool paused)
{
	if (list->paused == paused)
		return;
	list->paused = paused;
	for (struct sender *sender = list->first; sender != NULL; sender = sender->next)
		sender_read(sender);
}
