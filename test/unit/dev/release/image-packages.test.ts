import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { requireMachine } from '../../../../dev/release/image-packages.ts';
import type { Architecture } from '../../../../dev/release/options.ts';

describe('requireMachine', () => {
  it('requireMachine accepts the Node that runs this for its own architecture, and for no other', () => {
    const other: Architecture = process.arch === 'x64' ? 'arm64' : 'x64';
    requireMachine(process.execPath, process.arch as Architecture);
    expect(() => requireMachine(process.execPath, other)).to.throw(
      `The image for ${other} contains a Node for another`,
    );
  });

  it('requireMachine refuses a file that is too short to be a program', () => {
    const folder = mkdtempSync(join(tmpdir(), 'machine-'));
    writeFileSync(join(folder, 'node'), '#!/bin/sh');
    expect(() => requireMachine(join(folder, 'node'), 'x64')).to.throw('another architecture');
    rmSync(folder, { recursive: true });
  });
});
