import { relative } from 'node:path';
import Mocha from 'mocha';

/** The spec reporter, closing with the files that took long and one line that a script can read: `N passed, N failed`. */
export default class Reporter extends Mocha.reporters.Spec {
  readonly #filesMs = new Map<string, number>();

  constructor(runner: Mocha.Runner, options?: Mocha.MochaOptions) {
    super(runner, options);
    let began = 0;
    const isFile = ({ parent, file }: Mocha.Suite): boolean => parent?.root === true && file !== undefined;
    runner.on('suite', (suite) => {
      if (isFile(suite)) began = performance.now();
    });
    runner.on('suite end', (suite) => {
      if (!isFile(suite)) return;
      const file = relative(process.cwd(), suite.file!);
      this.#filesMs.set(file, (this.#filesMs.get(file) ?? 0) + performance.now() - began);
    });
  }

  override epilogue(): void {
    super.epilogue();
    const log = Mocha.reporters.Base.consoleLog;
    for (const [file, milliseconds] of this.#filesMs) {
      if (milliseconds >= 2000) log(`${(milliseconds / 1000).toFixed(0)} s ${file}`);
    }
    log(`${this.stats.passes} passed, ${this.stats.failures} failed`);
  }
}
