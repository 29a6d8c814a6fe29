"""Planted faults of definitions and of the management API: topology, users, limits, requests and answers."""

from tests.simulation.planted.fault import Planted

MANAGEMENT = (
    # --- exchanges, queues and bindings -------------------------------------------------------------------------------
    Planted(
        "a list in the order of names",
        "listing.py",
        "    runs[-1].sort(key=by_value, reverse=backwards)\n    merged",
        "    merged",
    ),
    Planted(
        "a binding that is not stored",
        "vhost.py",
        "if is_durable(binding) and not stored:\n"
        "            self.definitions.put(binding_definition(self.name, binding))",
        "if False:\n            pass",
    ),
    Planted(
        "if-empty not looked at",
        "vhost.py",
        "if if_empty and conditional and queue.ready_count + queue.delayed_count:",
        "if False:",
    ),
    Planted(
        "if-unused not looked at over HTTP",
        "queues.py",
        "call.actions.delete_queue(found.name, if_unused, if_empty)",
        "call.actions.delete_queue(found.name, False, if_empty)",
    ),
    Planted(
        "an unbinding that is not stored",
        "vhost.py",
        "            removal = Removal([binding])\n"
        "            self._unstore(removal)\n"
        "            self._remove(removal)",
        "            removal = Removal([binding])\n            self._remove(removal)",
    ),
    Planted(
        "a redeclaration with other arguments accepted",
        "equivalence.py",
        "        if not row.tolerates(compat) and not",
        "        if False and not",
    ),
    # --- users and permissions ----------------------------------------------------------------------------------------
    Planted(
        "a deleted user's connection goes on",
        "users.py",
        "        self._events.user_deleted(name)\n        self.on_delete(name)",
        "        self._events.user_deleted(name)",
    ),
    Planted(
        "routes remembered past a change of permissions",
        "broker.py",
        "            self.vhosts[vhost].routes_changed()",
        "            pass",
    ),
    Planted(
        "a topic permission that stays",
        "permissions.py",
        "            self._topic_patterns.pop((permission, exchange), None)",
        "            pass",
    ),
    Planted(
        "any password is right",
        "passwords.py",
        "return same and known and bool(stored) and bool(password)",
        "return known and bool(stored) and bool(password)",
    ),
    Planted(
        "permissions of a deleted user stay in the store",
        "users.py",
        "self._definitions.remove(_user_definition(user), *_permission_definitions(forgotten))",
        "self._definitions.remove(_user_definition(user))",
    ),
    Planted(
        "a changed password is not stored",
        "users.py",
        "        self._definitions.put(_user_definition(user))\n        old = self._users.get(user.name)",
        "        old = self._users.get(user.name)\n"
        "        if old is None:\n"
        "            self._definitions.put(_user_definition(user))",
    ),
    Planted(
        "a user without a tag gets in over HTTP", "identity.py", "        if not self.manages:", "        if False:"
    ),
    Planted(
        "a topic permission over HTTP not looked at",
        "actions.py",
        "        check_topics(self.permissions, exchange, message.routing_keys)\n        destinations",
        "        destinations",
    ),
    # --- policies -----------------------------------------------------------------------------------------------------
    Planted(
        "a policy not applied to queues that are there",
        "vhost.py",
        "                if effective != queue.effective:\n                    queue.effective = effective\n",
        "                if False:\n                    queue.effective = effective\n",
    ),
    Planted(
        "a policy whose settings are not applied",
        "vhost.py",
        "                    self._apply_settings(queue)",
        "                    pass",
    ),
    Planted(
        "a removed policy that comes back",
        "policies.py",
        "        self._definitions.remove(_stored(policy))\n        del self._policies",
        "        del self._policies",
    ),
    Planted(
        "a new queue without its policy",
        "vhost.py",
        "        if effective is not NO_POLICY:\n            settings",
        "        if False:\n            settings",
    ),
    # --- vhosts and limits --------------------------------------------------------------------------------------------
    Planted(
        "a deleted vhost's connections go on",
        "broker.py",
        "                session.force_close(errors.vhost_deleted(name))",
        "                pass",
    ),
    Planted(
        "a limit of connections not looked at",
        "registration.py",
        "        broker.limits.check_vhost_connections(client.vhost.name, user)",
        "        pass",
    ),
    Planted(
        "a user's limit of connections off by one",
        "limits.py",
        "if 0 <= limit <= self._connections_of_users[user]:",
        "if 0 <= limit < self._connections_of_users[user]:",
    ),
    Planted(
        "a closed connection that counts on",
        "limits.py",
        "        _less(self._connections_of_vhosts, vhost, 1)\n",
        "        pass\n",
    ),
    Planted(
        "limits of a deleted vhost stay",
        "limits.py",
        "    def vhost_deleted(self, vhost: str) -> None:\n"
        '        """Discard the limits of a vhost that is deleted, also from the definitions."""\n'
        "        self._vhosts.pop(vhost, None)",
        "    def vhost_deleted(self, vhost: str) -> None:\n"
        '        """Discard the limits of a vhost that is deleted, also from the definitions."""',
    ),
    # --- HTTP ---------------------------------------------------------------------------------------------------------
    Planted(
        "one HTTP connection too many",
        "http_protocol.py",
        "if len(self.connections) > self._most and not",
        "if len(self.connections) > self._most + 1 and not",
    ),
    Planted(
        "got messages that are not returned",
        "get_request.py",
        "        return settle_in_slices(self._vhost, [(self._queue, held)], len(held), how)",
        "        return False",
    ),
    Planted(
        "more got than may be held",
        "get_request.py",
        "if self._queue.closed or self._held_bytes >= self._most_held:",
        "if self._queue.closed:",
    ),
    Planted(
        "a session too many", "sessions.py", "if len(own) >= self._most_of_user:", "if len(own) > self._most_of_user:"
    ),
    Planted(
        "a connection closed over HTTP that stays",
        "connections.py",
        "    session.force_close(errors.closed_by_management",
        "    str(errors.closed_by_management",
    ),
    Planted(
        "a publish over HTTP answered before its sync",
        "messages.py",
        '    await all_synced(call.broker)\n    return {"routed": routed}',
        '    return {"routed": routed}',
    ),
    Planted(
        "large bodies counted for ever",
        "bodies.py",
        "    def __exit__(self, *raised: object) -> None:\n        self._count(0)",
        "    def __exit__(self, *raised: object) -> None:\n        pass",
    ),
    Planted(
        "guesses recorded without end",
        "login_guard.py",
        "        if len(self._records) > self._most:\n            del self._records[next(iter(self._records))]",
        "        pass",
    ),
    Planted(
        "a body that is larger than allowed",
        "bodies.py",
        "        if size > most:",
        "        if size > most + 100_000:",
    ),
    Planted("a page that never ends", "answers.py", "        self._under_way -= 1", "        pass"),
    # --- queues that expire -------------------------------------------------------------------------------------------
    Planted(
        "a queue that expires early",
        "queue_expiry.py",
        "due_ms = self._used_ms + expires_ms\n        if due_ms",
        "due_ms = self._used_ms + expires_ms // 2\n        if due_ms",
    ),
    Planted(
        "a use that does not count for x-expires",
        "vhost.py",
        "            existing.touch()\n            self.totals.churn.queue_declared",
        "            self.totals.churn.queue_declared",
    ),
    Planted(
        "a queue that never expires",
        "queue_expiry.py",
        "        else:\n            expired()",
        "        elif self._used_ms % 2:\n            expired()",
    ),
)
