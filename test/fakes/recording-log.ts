import type { LogFields, Logger, LogLevel } from '../../src/observability/log.ts';

export interface RecordedLine {
  readonly level: LogLevel;
  readonly message: string;
  readonly fields: LogFields;
}

/** A logger that records its lines. */
export function recordingLog(): { readonly lines: RecordedLine[]; readonly log: Logger } {
  const lines: RecordedLine[] = [];
  const logger = (inherited: LogFields): Logger => {
    const at = (level: LogLevel) => (fields: LogFields, message: string) =>
      void lines.push({ level, message, fields: { ...inherited, ...fields } });
    return {
      debug: at('debug'),
      info: at('info'),
      warn: at('warn'),
      error: at('error'),
      child: (fields) => logger({ ...inherited, ...fields }),
    };
  };
  return { lines, log: logger({}) };
}
