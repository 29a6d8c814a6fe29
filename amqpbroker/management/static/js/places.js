// The pages that the navigation and the search offer.

/** Pages for all users: [name in the address, title, predicate as below]. */
export const PLACES = [
  ["", "Overview"], ["connections", "Connections"], ["channels", "Channels"], ["exchanges", "Exchanges"], ["queues", "Queues"],
  ["batches", "Batches", (_, overview) => overview?.amqpbroker !== undefined],
  ["jobs", "Jobs", (_, overview) => overview?.amqpbroker !== undefined],
  ["live", "Live messages"],
];

/** Pages for some users: [name in the address, title, predicate of the user's rights and the overview]. */
export const ADMIN = [
  ["users", "Users", (rights) => rights.administer],
  ["vhosts", "Virtual hosts", (rights) => rights.administer],
  ["policies", "Policies", (rights) => rights.makePolicies],
  ["limits", "Limits", (rights) => rights.administer],
  ["shovels", "Shovels", (rights) => rights.administer],
  ["definitions", "Definitions", (rights) => rights.administer],
  ["testing", "Testing", (rights, overview) => rights.administer && overview?.amqpbroker?.testing === true],
];

export function shownPlaces(places, rights, overview) {
  return places.filter(([, , isShown]) => !isShown || isShown(rights, overview));
}
