import { isJsonObject } from '../lib/json-object.ts';
import type { Instant } from './duration.ts';

export type LedgerFault = 'LedgerCorrupt' | 'LedgerMismatch' | 'LedgerFormatUnknown';

/** Why the text is not a ledger of this registration. The message never quotes the text. */
export class LedgerError extends Error {
  override readonly name = 'LedgerError';
  readonly reason: LedgerFault;

  constructor(reason: LedgerFault, message: string) {
    super(message);
    this.reason = reason;
  }
}

export function corrupt(message: string): LedgerError {
  return new LedgerError('LedgerCorrupt', message);
}

export function unknownFormat(message: string): LedgerError {
  return new LedgerError('LedgerFormatUnknown', `${message}: a newer release of the operator wrote it`);
}

/** Reads the members of an untrusted JSON object; each error names the place. */
export class MemberReader {
  readonly place: string;
  private readonly members: Readonly<Record<string, unknown>>;

  constructor(value: unknown, place: string) {
    if (!isJsonObject(value)) throw corrupt(`${place} is not an object`);
    this.members = value;
    this.place = place;
  }

  /** Rejects members that this release does not know: the next write would drop what a newer release keeps there. */
  only(known: readonly string[]): void {
    const unknown = Object.keys(this.members).filter((name) => !known.includes(name));
    if (unknown.length > 0) throw unknownFormat(`${this.place} has ${unknown.length} unknown members`);
  }

  has(name: string): boolean {
    return this.members[name] !== undefined;
  }

  number(name: string): number {
    const value = this.members[name];
    if (!Number.isSafeInteger(value) || (value as number) < 0)
      throw corrupt(`${this.place}: ${name} is not a whole number`);
    return value as number;
  }

  string(name: string): string {
    const value = this.members[name];
    if (typeof value !== 'string') throw corrupt(`${this.place}: ${name} is not a string`);
    return value;
  }

  optionalString(name: string): string | undefined {
    return this.has(name) ? this.string(name) : undefined;
  }

  optionalInstant(name: string): Instant | undefined {
    const text = this.optionalString(name);
    if (text === undefined) return undefined;
    const instant = Date.parse(text);
    if (Number.isNaN(instant)) throw corrupt(`${this.place}.${name} is not a time`);
    return instant;
  }

  flag(name: string): boolean {
    const value = this.members[name];
    if (value !== undefined && value !== true) throw corrupt(`${this.place}: ${name} is not true`);
    return value === true;
  }

  known(name: string, values: readonly string[]): string {
    const value = this.string(name);
    if (!values.includes(value)) throw unknownFormat(`${this.place}: ${name} is none of ${values.join(', ')}`);
    return value;
  }

  list(name: string): readonly unknown[] {
    const value = this.members[name];
    if (!Array.isArray(value)) throw corrupt(`${this.place}: ${name} is not a list`);
    return value;
  }

  object(name: string): unknown {
    return this.members[name];
  }
}
