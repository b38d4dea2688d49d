import { join } from 'node:path';

/** The folder of one run, made and removed by main.ts. */
export const folderVariable = 'E2E_FOLDER';
export const cgroupVariable = 'E2E_CGROUP';

export const checkout = join(import.meta.dirname, '../..');

export const images = {
  operator: 'localhost/lti-key-operator:e2e',
  pause: 'localhost/pause:e2e',
} as const;

/** Where the image of that name is kept between building and running. */
export function archiveOf(folder: string, image: keyof typeof images): string {
  return join(folder, `${image}.tar`);
}

/** What a process of a sandbox gets from the process that made it. @throws Error when it was started otherwise */
export function given(variable: string): string {
  const value = process.env[variable];
  if (value === undefined) throw new Error('This is a part of the end-to-end run, which is started with: npm run e2e');
  return value;
}
