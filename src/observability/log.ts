import { pino, destination as pinoDestination } from 'pino';

export const logLevels = ['debug', 'info', 'warn', 'error'] as const;
export type LogLevel = (typeof logLevels)[number];

export const logFormats = ['json', 'text'] as const;
export type LogFormat = (typeof logFormats)[number];

/** Longer texts are truncated, because log lines name things and do not contain documents. */
const longestText = 1024;

const text = (value: unknown): string | undefined =>
  typeof value === 'string' ? value.slice(0, longestText) : undefined;
const number = (value: unknown): number | undefined =>
  typeof value === 'number' && Number.isFinite(value) ? value : undefined;

/** The logged part of an error: never its stack, cause or other properties. */
export interface LoggedError {
  readonly name: string;
  readonly message?: string;
  /** HTTP status of an API error. */
  readonly status?: number;
  /** Node's error code, such as `ECONNREFUSED`. */
  readonly code?: string;
}

function loggedError(value: unknown): LoggedError {
  if (!(value instanceof Error)) return { name: `thrown ${typeof value}` };
  const status = 'status' in value ? value.status : undefined;
  const code = 'code' in value ? value.code : undefined;
  return {
    name: value.name,
    // A SyntaxError of JSON.parse quotes the text it could not read, which may be key material.
    ...(value instanceof SyntaxError ? {} : { message: value.message.slice(0, longestText) }),
    ...(typeof status === 'number' ? { status } : {}),
    ...(typeof code === 'string' ? { code } : {}),
  };
}

type LogValue = string | number | LoggedError;
type Narrow = (value: unknown) => LogValue | undefined;

/**
 * Every field that a log line may have. Other fields and objects are dropped: an allow-list cannot miss a field that contains a
 * private key.
 */
const allowedFields = {
  address: text,
  attempt: number,
  controller: text,
  durationMs: number,
  error: loggedError,
  file: text,
  files: number,
  identity: text,
  kekID: text,
  kid: text,
  name: text,
  namespace: text,
  reason: text,
  registration: text,
  resource: text,
  revision: number,
  serial: number,
  signal: text,
  version: text,
  waitMs: number,
} satisfies Record<string, Narrow>;

const allowList: ReadonlyMap<string, Narrow> = new Map(Object.entries(allowedFields));

type AllowedFields = typeof allowedFields;

export type LogFields = {
  readonly [Field in keyof AllowedFields]?: Field extends 'error' ? unknown : ReturnType<AllowedFields[Field]>;
};

/** Messages are constant; variable parts belong in fields. */
export interface Logger {
  debug(fields: LogFields, message: string): void;
  info(fields: LogFields, message: string): void;
  warn(fields: LogFields, message: string): void;
  error(fields: LogFields, message: string): void;
  /** A logger that adds `fields` to every line. */
  child(fields: LogFields): Logger;
}

/** Receives one complete line at a time, including the newline. */
export interface LogDestination {
  write(line: string): void;
}

export interface LoggerOptions {
  readonly level: LogLevel;
  readonly format: LogFormat;
  /** Defaults to standard output, written synchronously. */
  readonly destination?: LogDestination;
}

type WrittenFields = Record<string, LogValue>;
type Write = (level: LogLevel, fields: WrittenFields, message: string) => void;

/** Writes JSON (`level`, `time` as RFC 3339, `message`, fields) or short lines of text. */
export function createLogger(options: LoggerOptions): Logger {
  const destination = options.destination ?? pinoDestination({ dest: 1, sync: true });
  const write = options.format === 'json' ? jsonLines(destination) : textLines(destination);
  return logger(logLevels.slice(logLevels.indexOf(options.level)), write, {});
}

function logger(written: readonly LogLevel[], write: Write, inherited: WrittenFields): Logger {
  const at =
    (level: LogLevel) =>
    (fields: LogFields, message: string): void => {
      if (written.includes(level)) write(level, { ...inherited, ...allowed(fields) }, message);
    };
  return {
    debug: at('debug'),
    info: at('info'),
    warn: at('warn'),
    error: at('error'),
    child: (fields) => logger(written, write, { ...inherited, ...allowed(fields) }),
  };
}

function allowed(fields: LogFields): WrittenFields {
  const kept: WrittenFields = {};
  for (const [name, value] of Object.entries(fields)) {
    const narrowed = value === undefined ? undefined : allowList.get(name)?.(value);
    if (narrowed !== undefined) kept[name] = narrowed;
  }
  return kept;
}

function jsonLines(destination: LogDestination): Write {
  const lines = pino(
    {
      level: 'debug',
      base: null,
      messageKey: 'message',
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
    },
    destination,
  );
  return (level, fields, message) => lines[level](fields, message);
}

function textLines(destination: LogDestination): Write {
  return (level, fields, message) => {
    const time = new Date().toISOString().slice(11, 23);
    const pairs = Object.entries(fields).map(([name, value]) => ` ${name}=${inText(value)}`);
    destination.write(`${time} ${level.toUpperCase().padEnd(5)} ${message}${pairs.join('')}\n`);
  };
}

function inText(value: LogValue): string {
  const plain = typeof value === 'object' ? errorInText(value) : String(value);
  return /^[\w./:@+-]+$/u.test(plain) ? plain : JSON.stringify(plain);
}

function errorInText({ name, message, status, code }: LoggedError): string {
  const detail = [status, code].filter((part) => part !== undefined).join(' ');
  return [name, detail === '' ? '' : ` (${detail})`, message === undefined ? '' : `: ${message}`].join('');
}
