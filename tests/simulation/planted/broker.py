"""Planted faults of vhosts: exchanges, bindings, users, permissions, policies, limits."""

from tests.simulation.planted.fault import Planted

BROKER = (
    # --- exchanges and bindings -------------------------------------------------------------------------------------
    Planted(
        "a route not changed by a removed binding",
        "vhost.py",
        "                    binding.source.type.unbind(binding)\n        self.routes_changed()",
        "                    binding.source.type.unbind(binding)",
    ),
    Planted(
        "bindings that outlive their queue",
        "vhost.py",
        "removal = Removal(queue.incoming)\n        try:",
        "removal = Removal([])\n        try:",
    ),
    Planted(
        "a removed binding that its queue never forgets",
        "vhost.py",
        "        destination.incoming.pop(binding, None)\n",
        "",
    ),
    Planted(
        "an auto-delete exchange that stays",
        "removal.py",
        "if source.auto_delete and gone == source.binding_count and source not in self.exchanges:",
        "if source.auto_delete and gone > source.binding_count and source not in self.exchanges:",
    ),
    Planted(
        "an auto-delete queue that stays",
        "local_queue.py",
        "        elif self.auto_delete:\n            self.vhost.remove_queue(self)",
        "        elif self.auto_delete:\n            self.touch()",
    ),
    Planted(
        "an owner of exclusive queues that is never forgotten",
        "vhost.py",
        "            if not owned:\n                del self._exclusive[queue.owner]\n",
        "",
    ),
    Planted(
        "patterns of a topic exchange that are never forgotten",
        "topic_index.py",
        "while path and node.targets is None and not node.follows():",
        "while False:",
    ),
    Planted(
        "a topic that forgets a third pattern",
        "topic_index.py",
        "            self._further.append(targets)",
        "            pass",
    ),
    Planted(
        "a key of a direct exchange that is never forgotten",
        "direct_index.py",
        "        if not targets:\n            del self._targets[key]",
        "        pass",
    ),
    Planted(
        "one of two bindings that takes both along",
        "targets.py",
        "counts[target] = counts.get(target, 0) + 1",
        "counts[target] = 1",
    ),
    Planted(
        "a header of a headers exchange that is never forgotten",
        "header_index.py",
        "            if not condition.used:\n                self._delete_condition(name, field)",
        "            pass",
    ),
    Planted(
        "a combination of headers that is met in part",
        "header_index.py",
        "        if condition.met != number:\n            return False",
        "        if condition.met == number:\n            return True",
    ),
    Planted(
        "forgotten routes that stay counted",
        "routes.py",
        "        self.vhost.count_remembered(-len(self.known))\n",
        "",
    ),
    # --- users, permissions, policies, limits -----------------------------------------------------------------------
    Planted(
        "a permission remembered after a change",
        "permissions.py",
        "        self.grants = grants\n        self._allowed.clear()",
        "        self.grants = grants",
    ),
    Planted(
        "a permission remembered after a revocation",
        "permissions.py",
        "        self._patterns = {}\n        self._allowed.clear()",
        "        self._patterns = {}",
    ),
    Planted(
        "routes remembered after a revocation",
        "users.py",
        "            self._events.permission_deleted(name, vhost)\n            self.on_change(vhost)",
        "            self._events.permission_deleted(name, vhost)",
    ),
    Planted(
        "a deleted user who stays connected",
        "users.py",
        "        self.on_delete(name)\n",
        "",
    ),
    Planted(
        "permissions that outlive their user",
        "users.py",
        "            del self._permissions[permissions.user, permissions.vhost]\n",
        "",
    ),
    Planted(
        "a policy that existing queues do not follow",
        "vhost.py",
        "                    self._apply_settings(queue)",
        "                    pass",
    ),
    Planted(
        "a policy for queues of every type",
        "policies.py",
        "if kind in ranked.kinds and ranked.pattern.found_in(name):",
        "if ranked.pattern.found_in(name):",
    ),
    Planted(
        "a policy of low priority before others",
        "policies.py",
        "key=lambda policy: (-policy.priority, policy.name)",
        "key=lambda policy: (policy.priority, policy.name)",
    ),
    Planted(
        "a vhost with one queue too many",
        "limits.py",
        "if 0 <= limit <= count:",
        "if 0 <= limit < count:",
    ),
    # --- events and traces --------------------------------------------------------------------------------------------
    Planted(
        "a deleted queue without an event",
        "event_exchange.py",
        '        self._emit("queue.deleted", None, facts.queue_deleted, vhost, queue)',
        "        pass",
    ),
    Planted(
        "a trace published twice",
        "firehose.py",
        "        self._pending.append(trace)",
        "        self._pending += [trace, trace]",
    ),
    Planted(
        "an unroutable message that is not traced",
        "firehose.py",
        '        self._trace("publish",',
        '        if destinations:\n            self._trace("publish",',
    ),
)
