/** The tables of docs/conditions.md, from those of src/api. The prose around them is written by hand. */
import { format } from 'prettier';
import { keyConditions, registrationConditions } from '../../src/api/conditions.ts';
import { conditionReasons, eventReasons, kekReasons, type Reason, sealReasons } from '../../src/api/reasons.ts';

type Row = readonly string[];

function conditionTable(
  conditions: Readonly<Record<string, { readonly true: string; readonly false: string }>>,
): Row[] {
  const rows = Object.entries(conditions).map(([type, meaning]) => [`\`${type}\``, meaning.true, meaning.false]);
  return [['type', 'True', 'False'], ...rows];
}

function reasonTable(reasons: Readonly<Record<string, Reason>>): Row[] {
  const rows = Object.entries(reasons).map(([name, { meaning, remedy }]) => [`\`${name}\``, meaning, remedy]);
  return [['reason', 'meaning', 'what to do'], ...rows];
}

function eventTable(reasons: Readonly<Record<string, Reason>>): Row[] {
  return reasonTable(reasons).map((row) => row.slice(0, 2));
}

/** By the name that the markers give them. */
const tables: Readonly<Record<string, readonly Row[]>> = {
  registrationConditions: conditionTable(registrationConditions),
  keyConditions: conditionTable(keyConditions),
  conditionReasons: reasonTable(conditionReasons),
  kekReasons: reasonTable(kekReasons),
  sealReasons: reasonTable(sealReasons),
  eventReasons: eventTable(eventReasons),
};

function markdown([head = [], ...rows]: readonly Row[]): string {
  const line = (cells: Row): string => `| ${cells.map((cell) => cell.replaceAll('|', String.raw`\|`)).join(' | ')} |`;
  return [line(head), line(head.map(() => '---')), ...rows.map(line)].join('\n');
}

/** docs/conditions.md with each table between its markers, as prettier formats it. Throws if it lacks a marker. */
export async function withReasonTables(page: string): Promise<string> {
  let text = page;
  for (const [name, rows] of Object.entries(tables)) {
    const begin = `<!-- generated: ${name} -->`;
    const end = `<!-- end: ${name} -->`;
    const from = text.indexOf(begin);
    const to = text.indexOf(end);
    if (from < 0 || to < from) throw new Error(`docs/conditions.md needs the lines ${begin} and ${end}, in this order`);
    const table = await format(markdown(rows), { parser: 'markdown' });
    text = `${text.slice(0, from)}${begin}\n\n${table}\n${text.slice(to)}`;
  }
  return text;
}
