// The arguments of queues and exchanges and the keys of policies, with their types and titles.

const TEXT = "string";
const NUMBER = "number";
const YES_NO = "boolean";

const QUEUE = [
  ["message-ttl", NUMBER, "Message TTL", { hint: "milliseconds" }],
  ["message-ttl-mode", TEXT, "Expiry mode", { options: ["head", "any"] }],
  ["expires", NUMBER, "Queue expires", { hint: "milliseconds unused" }],
  ["max-length", NUMBER, "Max length", { hint: "messages" }],
  ["max-length-bytes", NUMBER, "Max length in bytes", { hint: "bytes" }],
  ["overflow", TEXT, "Overflow", { options: ["drop-head", "reject-publish", "reject-publish-dlx"] }],
  ["dead-letter-exchange", TEXT, "Dead letter exchange", { hint: "exchange" }],
  ["dead-letter-routing-key", TEXT, "Dead letter routing key", { hint: "routing key" }],
  ["delivery-limit", NUMBER, "Delivery limit", { hint: "times" }],
  ["delayed-retry-type", TEXT, "Delayed retry", { options: ["all", "failed", "returned", "disabled"] }],
  ["delayed-retry-min", NUMBER, "Delayed retry: minimum", { hint: "milliseconds" }],
  ["delayed-retry-max", NUMBER, "Delayed retry: maximum", { hint: "milliseconds" }],
  ["delayed-retry-multiplier", NUMBER, "Delayed retry: multiplier", { hint: "1 or more" }],
  ["delayed-retry-jitter", NUMBER, "Delayed retry: jitter", { hint: "0 to 1" }],
  ["consumer-timeout", NUMBER, "Consumer timeout", { hint: "milliseconds" }],
  ["consumer-timeout-action", TEXT, "Consumer timeout: action", { options: ["return", "cancel", "close"] }],
  ["consumer-timeout-renew", TEXT, "Consumer timeout: renewal", { options: ["heartbeat", "none"] }],
  ["delivery-time-header", TEXT, "Delivery time header", { hint: "header" }],
  ["group-type", TEXT, "Message groups: type", { options: ["ordered", "fair"] }],
  ["group-prefetch", NUMBER, "Message groups: prefetch", { hint: "messages of a group" }],
  ["group-on-dead", TEXT, "Message groups: dead message", { options: ["skip", "park", "follow"] }],
  ["group-version-ttl", NUMBER, "Message groups: version TTL", { hint: "milliseconds" }],
  ["max-age", TEXT, "Max age", { hint: "such as 7D or 12h" }],
  ["stream-max-segment-size-bytes", NUMBER, "Segment size", { hint: "bytes" }],
  ["stream-filter-size-bytes", NUMBER, "Filter size", { hint: "16 to 255 bytes" }],
];

const DEDUPLICATION = [
  ["message-deduplication", YES_NO, "Deduplication", { value: "true" }],
  ["deduplication-header", TEXT, "Deduplication: header", { hint: "header with the id" }],
  ["deduplication-property", TEXT, "Deduplication: property", { value: "message_id", options: ["message_id"] }],
  ["cache-ttl", NUMBER, "Deduplication: time", { hint: "milliseconds" }],
  ["cache-size", NUMBER, "Deduplication: ids", { hint: "number of ids" }],
  ["cache-persistence", TEXT, "Deduplication: persistence", { options: ["disk", "memory"] }],
];

const QUEUE_ONLY = [
  ["max-priority", NUMBER, "Priorities", { hint: "1 to 255" }],
  ["single-active-consumer", YES_NO, "Single active consumer", { value: "true" }],
  ...DEDUPLICATION,
  ["deduplication-scope", TEXT, "Deduplication: scope", { options: ["window", "queue"] }],
  ["last-value-key", TEXT, "Last value: key", { hint: "header" }],
  ["last-value-position", TEXT, "Last value: position", { options: ["old", "tail"] }],
  ["group-header", TEXT, "Message groups: header", { hint: "header, or empty for the routing key" }],
  ["group-version-header", TEXT, "Message groups: version", { hint: "header with the version" }],
  ["last-value-dead-letter", YES_NO, "Last value: dead letters", { value: "true" }],
];

const preset = (prefix) => ([key, type, title, more]) => ({ key: `${prefix}${key}`, type, title, ...more });

export const QUEUE_ARGUMENTS = [...QUEUE, ...QUEUE_ONLY].map(preset("x-"));

export const EXCHANGE_ARGUMENTS = [
  { key: "alternate-exchange", type: TEXT, title: "Alternate exchange", hint: "exchange" },
  { key: "x-delayed-type", type: TEXT, title: "Delayed: routes as", value: "direct", options: ["direct", "fanout", "topic", "headers"] },
  ...DEDUPLICATION.map(preset("x-")),
];

export const BINDING_ARGUMENTS = [
  { key: "x-match", type: TEXT, title: "Headers match", value: "all", options: ["all", "any", "all-with-x", "any-with-x"] },
];

export const POLICY_KEYS = [
  ...QUEUE.map(preset("")),
  { key: "auto-dead-letter-queue", type: TEXT, title: "Automatic dead letter queue", value: "{queue}.dlq", hint: "name, with {queue}" },
  { key: "redeclare", type: TEXT, title: "Redeclaration", options: ["strict", "warn", "update"] },
  { key: "alternate-exchange", type: TEXT, title: "Alternate exchange", hint: "exchange" },
];

/** The keys that an operator policy may set. */
export const OPERATOR_POLICY_KEYS = POLICY_KEYS.filter(({ key }) =>
  ["message-ttl", "message-ttl-mode", "expires", "max-length", "max-length-bytes", "overflow", "delivery-limit",
    "delivery-time-header", "redeclare"].includes(key)
  || key.startsWith("delayed-retry-") || key.startsWith("group-"));

/** Returns the short marks for properties of a queue or an exchange in lists: [[mark, meaning]]. */
export function features(it) {
  const has = (key) => it.arguments?.[`x-${key}`] !== undefined || it.effective_policy_definition?.[key] !== undefined;
  return [
    it.durable && ["D", "Durable"],
    it.auto_delete && ["AD", "Deleted when it is no longer used"],
    it.exclusive && ["Excl", "Exclusive to a connection"],
    it.internal && ["I", "Internal: clients cannot publish to it"],
    has("message-ttl") && ["TTL", "Messages expire"],
    has("expires") && ["Exp", "The queue expires when unused"],
    (has("max-length") || has("max-length-bytes")) && ["Lim", "Limited in length"],
    has("max-age") && ["Age", "Messages are removed when they are old"],
    has("overflow") && ["Ovfl", "Says what happens when it is full"],
    has("dead-letter-exchange") && ["DLX", "Dead letters go to an exchange"],
    has("auto-dead-letter-queue") && ["DLQ", "Dead letters go to a queue that is created for them"],
    has("delivery-limit") && ["DL", "Limited deliveries"],
    has("delayed-retry-type") && ["Retry", "Returned messages are delayed"],
    has("consumer-timeout-action") && ["Lock", "Deliveries time out"],
    has("delivery-time-header") && ["Time", "Messages wait for a time in a header"],
    it.arguments?.["x-message-deduplication"] === true && ["Dedup", "Duplicates are dropped"],
    has("group-header") && ["Grp", "Messages with the same key are delivered in order"],
    has("last-value-key") && ["LV", "A newer message replaces the one with the same key"],
    has("max-priority") && ["Pri", "Priorities"],
    it.arguments?.["x-single-active-consumer"] === true && ["SAC", "Single active consumer"],
    it.arguments?.["alternate-exchange"] !== undefined && ["AE", "Has an alternate exchange"],
  ].filter(Boolean);
}
