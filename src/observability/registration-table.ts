import type { Table } from './metric-table.ts';

/** Of the registrations, reported by the replica that leads; computed at scrape, so that a deleted one leaves no series. */
export const registrationTable = {
  registrations: {
    name: 'lti_registrations',
    type: 'gauge',
    help: 'Registrations there are; absent from a replica that does not lead.',
    labels: [],
  },
  keys: { name: 'lti_keys', type: 'gauge', help: 'Keys of all registrations, by state.', labels: ['state'] },
  ready: {
    name: 'lti_registration_ready',
    type: 'gauge',
    help: '1 when the registration is Ready, else 0.',
    labels: ['namespace', 'registration'],
  },
  suspended: {
    name: 'lti_registration_suspended',
    type: 'gauge',
    help: '1 while spec.suspend is set, else absent.',
    labels: ['namespace', 'registration'],
  },
  keyCreated: {
    name: 'lti_signing_key_created_timestamp_seconds',
    type: 'gauge',
    help: 'When the key that signs was made; absent while none signs.',
    labels: ['namespace', 'registration'],
  },
  keyActivated: {
    name: 'lti_signing_key_activated_timestamp_seconds',
    type: 'gauge',
    help: 'When the key that signs began to; absent while none signs.',
    labels: ['namespace', 'registration'],
  },
  nextRotation: {
    name: 'lti_next_rotation_timestamp_seconds',
    type: 'gauge',
    help: 'When the next key is to take over; absent while none is planned.',
    labels: ['namespace', 'registration'],
  },
  rotateAfter: {
    name: 'lti_rotate_after_seconds',
    type: 'gauge',
    help: 'The age at which a key is to be replaced.',
    labels: ['namespace', 'registration'],
  },
  condition: {
    name: 'lti_registration_condition',
    type: 'gauge',
    help: 'A condition that is not as it should be: 1 for True, 0 for False, -1 for Unknown; else absent.',
    labels: ['namespace', 'registration', 'type', 'reason'],
  },
  orphanedKeys: {
    name: 'lti_orphaned_keys',
    type: 'gauge',
    help: 'Published keys of a registration that was deleted; absent where there are none.',
    labels: ['namespace', 'registration'],
  },
} as const satisfies Table;
