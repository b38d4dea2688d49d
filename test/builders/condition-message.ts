/** The names with which a message may start. */
const names =
  /^(?:[a-z]|(?:Secret|LtiKey|KEK|Canvas|Moodle|Blackboard|Brightspace|Sakai|OpenEdX) |(?:spec|metadata)\.)/;

/** Throws if the message of a condition breaks rule 10 of CONTRIBUTING.md. */
export function checkConditionMessage(message: string): void {
  if (!names.test(message)) throw new Error(`does not start in lower case or with a name: ${message}`);
  if (message.endsWith('.')) throw new Error(`ends with a full stop: ${message}`);
}
