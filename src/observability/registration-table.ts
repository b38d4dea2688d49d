import type { Table } from './metric-table.ts';

/** In the controller, per registration; computed at scrape, so that a deleted registration leaves no series. */
export const registrationTable = {
  ready: {
    name: 'lti_registration_ready',
    type: 'gauge',
    help: '1 when the registration is Ready, else 0.',
    labels: ['namespace', 'registration'],
  },
  condition: {
    name: 'lti_registration_condition',
    type: 'gauge',
    help: "1 for the status a condition has, 0 for the two it has not; status is 'True', 'False' or 'Unknown'.",
    labels: ['namespace', 'registration', 'type', 'status'],
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
  keys: {
    name: 'lti_keys',
    type: 'gauge',
    help: 'Keys of the registration by state.',
    labels: ['namespace', 'registration', 'state'],
  },
} as const satisfies Table;
