import { expect } from 'chai';
import { formatAge, formatTable } from '../../../src/cli/output.ts';

describe('The output of kubectl lti', () => {
  it('formatTable aligns columns, separates them by three blanks and leaves no blanks at the ends of lines', () => {
    const table = formatTable(
      ['NAME', 'STATUS'],
      [
        ['canvas', 'Ready'],
        ['openedx-2', '-'],
      ],
    );
    expect(table).to.equal('NAME        STATUS\ncanvas      Ready\nopenedx-2   -\n');
  });

  for (const [milliseconds, text] of [
    [0, '0s'],
    [999, '0s'],
    [9000, '9s'],
    [61_000, '1m1s'],
    [-61_000, '1m1s'],
    [12 * 60_000 + 5000, '12m'],
    [26 * 3_600_000, '1d2h'],
    [400 * 86_400_000, '400d'],
  ] as const) {
    it(`formatAge writes ${milliseconds} ms as ${text}`, () => {
      expect(formatAge(milliseconds)).to.equal(text);
    });
  }
});
