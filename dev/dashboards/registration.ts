import { cluster, type Dashboard, of, orZero, type Panel, registrationUid, type Row } from './dashboard.ts';

const matchers = ['namespace="$namespace"', 'registration="$registration"'];
const one = (metric: string, ...more: readonly string[]): string => `max(${of(metric, ...matchers, ...more)})`;
const activated = one('lti_signing_key_activated_timestamp_seconds');
const condition = (...more: readonly string[]): string => of('lti_registration_condition', ...matchers, ...more);
const truth = { '-1': 'Unknown', '0': 'False', '1': 'True' };

const present: readonly Panel[] = [
  {
    kind: 'number',
    title: 'Ready',
    help: '1 if the tool has a key that it can sign with and that platforms can fetch.',
    width: 4,
    meanings: { '0': 'No', '1': 'Yes' },
    queries: [{ expr: one('lti_registration_ready'), legend: 'ready' }],
  },
  {
    kind: 'number',
    title: 'Suspended',
    help: 'With spec.suspend, nothing rotates.',
    width: 4,
    meanings: { '0': 'No', '1': 'Yes' },
    queries: [{ expr: orZero(one('lti_registration_suspended')), legend: 'suspended' }],
  },
  {
    kind: 'number',
    title: 'Age of the signing key',
    help: 'How long it has signed.',
    width: 4,
    unit: 's',
    queries: [{ expr: `time() - ${activated}`, legend: 'age' }],
  },
  {
    kind: 'number',
    title: 'Age / rotateAfter',
    help: 'How long the key has signed. LTISigningKeyTooOld fires above 120 %.',
    width: 4,
    unit: 'percentunit',
    alarmAbove: 1.2,
    queries: [{ expr: `(time() - ${activated}) / ${one('lti_rotate_after_seconds')}`, legend: 'age' }],
  },
  {
    kind: 'number',
    title: 'Next rotation in',
    help: 'Negative if it is overdue; no data if none is planned, as with spec.suspend.',
    width: 4,
    unit: 's',
    queries: [{ expr: `${one('lti_next_rotation_timestamp_seconds')} - time()`, legend: 'next rotation' }],
  },
  {
    kind: 'number',
    title: 'Revoked key still served',
    help: '1 while a revoked key is served somewhere. The condition RevocationEffective names the replica or URL.',
    width: 4,
    alarmAbove: 0,
    meanings: { '0': 'No', '1': 'Yes' },
    queries: [
      {
        expr: orZero(
          `count(${condition('type="RevocationEffective"', 'reason="RevokedKeyStillServed"')}) / count(${condition('type="RevocationEffective"', 'reason="RevokedKeyStillServed"')})`,
        ),
        legend: 'still served',
      },
    ],
  },
];

const timeline: Row = {
  title: 'Timeline',
  panels: [
    {
      kind: 'states',
      title: 'Signing key',
      help: 'Each color is one key, with the time at which it began to sign.',
      width: 24,
      unit: 'dateTimeAsIso',
      queries: [{ expr: `1000 * ${activated}`, legend: 'signs since' }],
    },
    {
      kind: 'states',
      title: 'Ready',
      help: 'Whether the tool has a key that it can sign with and that platforms can fetch.',
      width: 24,
      meanings: { '0': 'Not ready', '1': 'Ready' },
      queries: [{ expr: one('lti_registration_ready'), legend: 'Ready' }],
    },
    {
      kind: 'states',
      title: 'Problems',
      help: 'Conditions that report a problem, with their reason. docs/conditions.md has the remedy for each.',
      width: 24,
      meanings: truth,
      queries: [{ expr: `max by (type, reason) (${condition()})`, legend: '{{type}} {{reason}}' }],
    },
    {
      kind: 'states',
      title: 'Revocation',
      help: 'While platforms may still accept a revoked key, and why.',
      width: 24,
      meanings: { '-1': 'Unknown', '0': 'Not effective' },
      queries: [{ expr: `max by (reason) (${condition('type="RevocationEffective"')})`, legend: '{{reason}}' }],
    },
    {
      kind: 'lines',
      title: 'Age of the signing key',
      help: 'A drop is a rotation.',
      width: 12,
      unit: 's',
      queries: [
        { expr: `time() - ${activated}`, legend: 'has signed for' },
        { expr: one('lti_rotate_after_seconds'), legend: 'rotateAfter' },
      ],
    },
    {
      kind: 'lines',
      title: 'Time to the next rotation',
      help: 'Below 0 if it is overdue.',
      width: 12,
      unit: 's',
      queries: [{ expr: `${one('lti_next_rotation_timestamp_seconds')} - time()`, legend: 'next rotation' }],
    },
    {
      kind: 'lines',
      title: 'Published keys after deletion',
      help: 'Of a registration that was deleted with deletionPolicy Retain. 0 while it exists.',
      width: 24,
      queries: [{ expr: orZero(one('lti_orphaned_keys')), legend: 'keys' }],
    },
  ],
};

export const registration: Dashboard = {
  uid: registrationUid,
  title: 'LTI keys / Registration',
  description: 'One registration: its signing key, rotations, revocations and conditions.',
  variables: [
    cluster,
    { name: 'namespace', query: 'label_values(lti_registration_ready{cluster=~"$cluster"}, namespace)' },
    {
      name: 'registration',
      query: 'label_values(lti_registration_ready{cluster=~"$cluster",namespace="$namespace"}, registration)',
    },
  ],
  rows: [{ title: 'Now', panels: present }, timeline],
};
