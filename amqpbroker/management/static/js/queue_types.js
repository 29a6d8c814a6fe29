// The queue types of the broker, which its overview lists.

/** The queue types of RabbitMQ, whose overview does not list them. */
const OF_RABBITMQ = [
  { name: "classic", durable_only: false, apply_to: "classic_queues" },
  { name: "quorum", durable_only: true, apply_to: "quorum_queues" },
  { name: "stream", durable_only: true, apply_to: "streams", retains: true },
];

/**
 * Returns [{name, durable_only, apply_to, retains, arguments}]. apply_to is the value of a policy that applies to this type
 * only. retains: messages stay when they are delivered. arguments: the supported ones, if the broker lists them.
 */
const types = (overview) => overview?.amqpbroker?.queue_types ?? OF_RABBITMQ;

export const queueTypeNames = (overview) => types(overview).map(({ name }) => name);

/** Returns true if queues of the type cannot be transient or auto-delete. */
export const isDurableOnly = (overview, type) => types(overview).some(({ name, durable_only }) => name === type && durable_only);

/** Returns true if messages stay in queues of the type, so that they cannot be got, purged or moved. */
export const retainsMessages = (overview, type) => types(overview).some(({ name, retains }) => name === type && retains);

/** Returns those of the presets for arguments that queues of the type support; all for an unknown type. */
export function presetsOf(overview, type, presets) {
  const known = types(overview).find(({ name }) => name === type)?.arguments;
  return known ? presets.filter(({ key }) => known.includes(key)) : presets;
}

/** Returns the values of a policy's apply-to that are for queues, with their titles. */
export const queueTargets = (overview) => [
  ["queues", "Queues"],
  ...types(overview).filter(({ apply_to }) => apply_to).map(({ apply_to }) => [apply_to, titled(apply_to.replaceAll("_", " "))]),
];

const titled = (words) => `${words[0].toUpperCase()}${words.slice(1)}`;
